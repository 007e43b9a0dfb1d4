// SPDX-License-Identifier: Apache-2.0
// A guest and a QEMU that do what the input says: each byte is an act, with what it needs from the bytes after it. Acts
// are sound by themselves (a whole set-up, a packet, a buffer) or plainly wild (any message, any descriptor, any word
// of a ring), so that short inputs come far and long ones go astray there. Time is the input's, too: nothing here
// waits.
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.hpp"
#include "vsock/vsock_engine.hpp"

using namespace mvm;
using namespace mvm::qemu;
using mvm::fuzz::must;
using vhost::Request;

namespace {

constexpr size_t region_bytes = 48 * 1024;
constexpr size_t memory_bytes = 2 * region_bytes;
constexpr uint64_t second_region_at = 1 << 20;  // a guest address: there is a hole before
constexpr uint64_t user_base = 0x7000'0000'0000;
constexpr uint16_t ring_size = 16;
constexpr size_t ring_bytes = 0x1000;
constexpr uint64_t buffers_at = 0x4000;
constexpr uint32_t buffer_bytes = 2048;

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  template <class T>
  T take() {
    T value{};
    const size_t n = std::min(sizeof value, static_cast<size_t>(end_ - at_));
    std::memcpy(&value, at_, n);
    at_ += n;
    return value;
  }
  uint8_t below(uint8_t bound) { return static_cast<uint8_t>(take<uint8_t>() % bound); }
  std::string_view some(size_t most) {
    const size_t n = std::min(most, static_cast<size_t>(end_ - at_));
    const std::string_view bytes(reinterpret_cast<const char*>(at_), n);
    at_ += n;
    return bytes;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

// What lives longer than one input, and is made only once.
struct World {
  World() {
    memory.reset(::memfd_create("fuzz", MFD_CLOEXEC));
    must(::ftruncate(memory.get(), memory_bytes) == 0);
    void* mapped = ::mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.get(), 0);
    must(mapped != MAP_FAILED);
    base = static_cast<std::byte*>(mapped);
    for (UniqueFd& fd : events) fd.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }
  UniqueFd memory;
  std::byte* base = nullptr;
  std::array<UniqueFd, 3> events;
};

World& world() {
  static World world;
  return world;
}

size_t open_fds() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

class Play {
 public:
  explicit Play(Input input) : input_(input) {
    std::memset(world().base, 0, ring_bytes * 2 + buffers_at);
    int ends[2];
    must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    qemu_.reset(ends[0]);
    VsockEngine::Config config;
    config.limits.max_connections = max_connections;
    config.limits.max_waiting_resets = max_waiting_resets;
    config.limits.buffer_bytes = 8192;
    config.limits.min_buffer_bytes = 512;
    config.limits.buffers_bytes = 64 * 1024;
    config.clock = [this] { return now_; };
    config.log = [](int32_t, std::string_view message) { must(!message.empty()); };
    engine_ = std::make_unique<VsockEngine>(UniqueFd(ends[1]), std::move(config));
  }
  Play(const Play&) = delete;
  Play& operator=(const Play&) = delete;
  ~Play() {
    engine_.reset();
    must(open_connects_ == 0);
  }

  void run() {
    for (int acts = 0; !input_.empty() && acts < 200; ++acts) act();
    for (int n = 0; n < 4; ++n) engine_->step(false);
  }

 private:
  static constexpr uint32_t max_connections = 12;
  static constexpr uint32_t max_waiting_resets = 6;

  struct Ring {
    uint16_t offered = 0;
    uint16_t next_slot = 0;
  };

  void act() {
    switch (input_.below(20)) {
      case 0:
        return any_message();
      case 1:
        return set_up();
      case 2:
        return stop();
      case 3:
        return describe_anything();
      case 4:
        return offer(input_.below(2), input_.take<uint8_t>());
      case 5:
        return scribble();
      case 6:
        return kick();
      case 7:
        return offer_receive_buffers();
      case 8:
        return send_packet(any_header());
      case 9:
        return send_packet(likely_header());
      case 10:
        return answer();
      case 11:
        return connect();
      case 12:
        return use_stream();
      case 13:
        return pass_time();
      case 14:
        return engine_->drop_connections();
      case 15:
        return engine_->set_paused((input_.take<uint8_t>() & 1) != 0);
      case 16:
        return listen();
      case 17:
        return share_memory();
      default:
        return step();
    }
  }

  void step() {
    engine_->step(false);
    must(engine_->connections() <= max_connections);
  }

  // ---- QEMU

  void send(Request request, std::string_view payload, std::vector<int> fds = {}, uint32_t flags = 1) {
    const vhost::Header header{request, flags, static_cast<uint32_t>(payload.size())};
    std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
    bytes += payload;
    send_bytes(bytes, fds);
  }
  template <class T>
  void send_value(Request request, const T& value, std::vector<int> fds = {}) {
    send(request, std::string_view(reinterpret_cast<const char*>(&value), sizeof value), std::move(fds));
  }

  void send_bytes(std::string_view bytes, const std::vector<int>& fds) {
    char drained[512];
    while (::recv(qemu_.get(), drained, sizeof drained, 0) > 0) {
    }
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&message);
      rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
    }
    [[maybe_unused]] const ssize_t sent = ::sendmsg(qemu_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  int any_fd() {
    const uint8_t which = input_.below(4);
    return which < 3 ? world().events[which].get() : world().memory.get();
  }

  void any_message() {
    const Request request{input_.below(48)};
    std::vector<int> fds(input_.below(10));
    for (int& fd : fds) fd = any_fd();
    const uint8_t shape = input_.take<uint8_t>();
    const uint32_t flags = (shape & 0xf0) == 0 ? input_.take<uint32_t>() : 1 | (shape & vhost::flag_need_reply);
    const std::string_view payload = input_.some(shape % 64);
    if ((shape & 0xe0) == 0x20) return send_bytes(input_.some(32), fds);
    send(request, payload, fds, flags);
  }

  void share_memory() {
    const vhost::MemoryTableHeader head{2, 0};
    MemoryRegion regions[] = {{0, region_bytes, user_base, 0},
                              {second_region_at, region_bytes, user_base + region_bytes, region_bytes}};
    const uint8_t change = input_.take<uint8_t>();
    if (change > 200) std::swap(regions[0].guest_address, regions[1].guest_address);
    if (change > 230) regions[0].size = input_.take<uint64_t>();
    if (change > 240) regions[1].file_offset = input_.take<uint64_t>();
    std::string table(reinterpret_cast<const char*>(&head), sizeof head);
    table.append(reinterpret_cast<const char*>(regions), sizeof regions);
    send(Request::set_mem_table, table, {world().memory.get(), world().memory.get()});
  }

  void set_up() {
    const uint8_t change = input_.take<uint8_t>();
    if ((change & 1) == 0) {
      send_value(Request::set_features, vhost::feature_version_1 | vhost::feature_protocol_features |
                                            ((change & 2) != 0 ? vhost::feature_indirect_desc : 0) |
                                            ((change & 4) != 0 ? vhost::feature_event_idx : 0));
      send_value(Request::set_protocol_features, vhost::protocol_reply_ack | vhost::protocol_config);
    }
    share_memory();
    for (uint32_t i = 0; i < 2; ++i) set_up_ring(i, (change & 8) != 0 ? rings_[i].offered : uint16_t{0});
    for (uint32_t i = 0; i < 2; ++i) send_value(Request::set_vring_enable, vhost::VringState{i, 1});
    step();
  }

  void set_up_ring(uint32_t i, uint16_t base) {
    const uint64_t at = user_base + i * ring_bytes;
    send_value(Request::set_vring_num, vhost::VringState{i, ring_size});
    send_value(Request::set_vring_base, vhost::VringState{i, base});
    send_value(Request::set_vring_addr, vhost::VringAddress{i, 0, at, at + 0x800, at + 0x400, 0});
    send_value(Request::set_vring_call, uint64_t{i}, {world().events[2].get()});
    send_value(Request::set_vring_kick, uint64_t{i}, {world().events[i].get()});
  }

  void stop() {
    const uint8_t which = input_.below(4);
    if (which != 1) send_value(Request::get_vring_base, vhost::VringState{0, 0});
    if (which != 0) send_value(Request::get_vring_base, vhost::VringState{1, 0});
    if (which == 3) rings_ = {};
  }

  // ---- the driver

  std::byte* ring_at(uint8_t ring) { return world().base + ring * ring_bytes; }

  void describe(uint8_t ring, uint16_t index, uint64_t address, uint32_t len, uint16_t flags, uint16_t next) {
    std::byte* at = ring_at(ring) + 16 * size_t{index};
    std::memcpy(at, &address, 8);
    std::memcpy(at + 8, &len, 4);
    std::memcpy(at + 12, &flags, 2);
    std::memcpy(at + 14, &next, 2);
  }

  uint64_t any_address() {
    switch (input_.below(4)) {
      case 0:
        return input_.take<uint64_t>();
      case 1:
        return region_bytes - input_.take<uint8_t>();
      case 2:
        return second_region_at + input_.take<uint16_t>();
      default:
        return input_.take<uint16_t>();
    }
  }

  void describe_anything() {
    const uint8_t ring = input_.below(2);
    const uint16_t index = input_.below(ring_size);
    const uint64_t address = any_address();
    const uint8_t shape = input_.take<uint8_t>();
    const uint32_t len = (shape & 0x80) != 0 ? input_.take<uint32_t>() : shape;
    const uint16_t flags = input_.below(8);
    describe(ring, index, address, len, flags, input_.below(ring_size + 1));
  }

  void offer(uint8_t ring, uint16_t head) {
    Ring& r = rings_[ring];
    std::byte* available = ring_at(ring) + 0x400;
    std::memcpy(available + 4 + 2 * static_cast<size_t>(r.offered % ring_size), &head, 2);
    ++r.offered;
    std::memcpy(available + 2, &r.offered, 2);
  }

  void scribble() {
    const uint16_t at = input_.take<uint16_t>() % (2 * ring_bytes);
    const std::string_view bytes = input_.some(input_.below(16));
    std::memcpy(world().base + at, bytes.data(), bytes.size());
  }

  void kick() {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(world().events[input_.below(2)].get(), &one, sizeof one);
  }

  uint64_t buffer(uint8_t ring, uint16_t slot) {
    return buffers_at + (ring * (ring_size / 2) + slot) * uint64_t{buffer_bytes};
  }

  // Two descriptors each, the header's first.
  void offer_receive_buffers() {
    for (uint8_t n = input_.below(8); n > 0; --n) {
      Ring& r = rings_[0];
      const uint16_t slot = r.next_slot++ % (ring_size / 2);
      const auto head = static_cast<uint16_t>(2 * slot);
      describe(0, head, buffer(0, slot), sizeof(PacketHeader), 3, static_cast<uint16_t>(head + 1));
      describe(0, static_cast<uint16_t>(head + 1), buffer(0, slot) + 64, 1024, 2, 0);
      offer(0, head);
    }
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(world().events[0].get(), &one, sizeof one);
  }

  PacketHeader any_header() { return input_.take<PacketHeader>(); }

  PacketHeader likely_header() {
    PacketHeader header{};
    header.src_cid = 3;
    header.dst_cid = host_cid;
    header.src_port = input_.below(4);
    header.dst_port = input_.below(8) < 4 ? input_.below(4) : 0x4000'0000u + input_.below(8);
    header.type = PacketType::stream;
    header.op = PacketOp{input_.below(9)};
    header.flags = input_.below(4);
    header.buf_alloc = input_.take<uint16_t>() * 16u;
    header.fwd_cnt = input_.take<uint16_t>();
    header.len = input_.below(3) == 0 ? input_.take<uint32_t>() : input_.take<uint8_t>() * 8u;
    return header;
  }

  void send_packet(const PacketHeader& header) {
    Ring& r = rings_[1];
    const uint16_t slot = r.next_slot++ % (ring_size / 2);
    const auto head = static_cast<uint16_t>(2 * slot);
    const uint64_t at = buffer(1, slot);
    std::memcpy(world().base + at, &header, sizeof header);
    const uint32_t len = std::clamp<uint32_t>(header.len, 1, buffer_bytes - 64);
    describe(1, head, at, sizeof header, 1, static_cast<uint16_t>(head + 1));
    describe(1, static_cast<uint16_t>(head + 1), at + 64, len, 0, 0);
    offer(1, head);
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t n = ::write(world().events[1].get(), &one, sizeof one);
  }

  // To a packet that the device sent: as an honest guest would, or nearly.
  void answer() {
    PacketHeader to{};
    std::memcpy(&to, world().base + buffer(0, input_.below(ring_size / 2)), sizeof to);
    PacketHeader header = likely_header();
    header.src_port = to.dst_port;
    header.dst_port = to.src_port;
    if (to.op == PacketOp::request && input_.below(4) != 0) header.op = PacketOp::response;
    send_packet(header);
  }

  // ---- the host

  void connect() {
    ++open_connects_;
    const std::chrono::milliseconds timeout(input_.below(4) * 20);
    engine_->connect(input_.below(4), timeout, FdCompletion([this](mvm_status status, UniqueFd fd, Bytes error) {
                       --open_connects_;
                       must((status == MVM_OK) == static_cast<bool>(fd));
                       must(status == MVM_OK || error.substr(0, 11) == "vsock port ");
                       if (fd) keep(std::move(fd));
                     }));
  }

  void keep(UniqueFd fd) {
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    streams_.push_back(std::move(fd));
  }

  void use_stream() {
    if (streams_.empty()) return;
    const size_t which = input_.take<uint8_t>() % streams_.size();
    const int fd = streams_[which].get();
    static char bytes[4096];
    switch (input_.below(6)) {
      case 0:
        ::shutdown(fd, SHUT_WR);
        return;
      case 1:
        ::shutdown(fd, SHUT_RD);
        return;
      case 2:
        streams_.erase(streams_.begin() + static_cast<ptrdiff_t>(which));
        return;
      case 3:
        (void)::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        return;
      default:
        (void)::send(fd, bytes, input_.take<uint8_t>() * 16u, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }

  void pass_time() {
    now_ += std::chrono::milliseconds(input_.take<uint16_t>() / 4);
    step();
  }

  void listen() {
    const uint8_t how = input_.below(4);
    if (how == 0) return engine_->set_on_guest_connect({});
    engine_->set_on_guest_connect([this, how](uint32_t port, UniqueFd& fd) {
      if (how == 1) throw std::runtime_error("no");
      if (how == 2 && port % 2 == 1) return false;
      keep(std::move(fd));
      return true;
    });
  }

  Input input_;
  TimePoint now_{std::chrono::seconds(1000)};
  UniqueFd qemu_;
  std::vector<UniqueFd> streams_;
  std::array<Ring, 2> rings_{};
  int open_connects_ = 0;
  std::unique_ptr<VsockEngine> engine_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  world();
  static unsigned runs = 0;
  const bool counts = ++runs % 64 == 0;  // it is slow
  const size_t before = counts ? open_fds() : 0;
  Play(Input(data, size)).run();
  if (counts) must(open_fds() == before);
  return 0;
}
