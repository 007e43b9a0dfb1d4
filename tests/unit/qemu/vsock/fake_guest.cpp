// SPDX-License-Identifier: Apache-2.0
#include "fake_guest.hpp"

#include <atomic>
#include <cerrno>
#include <stdexcept>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mvm::test {
namespace {

constexpr uint64_t low_rings_at = 0x10000;
constexpr uint64_t tx_slots_at = 1 << 20;
constexpr size_t tx_slot_bytes = 4096 + FakeGuest::tx_bytes;
constexpr size_t rx_slot_bytes = 8192;

void must(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(std::string("fake guest: ") + what + ": " + std::strerror(errno));
}

bool poll_in(int fd, std::chrono::milliseconds time) {
  pollfd wait{fd, POLLIN, 0};
  return ::poll(&wait, 1, static_cast<int>(time.count())) == 1;
}

}  // namespace

// ---- a ring

uint16_t& DriverRing::at(const std::byte* base, size_t index) const {
  return reinterpret_cast<uint16_t*>(const_cast<std::byte*>(base))[index];
}

void DriverRing::lay_out(std::byte* where, uint16_t size) {
  memory_ = where;
  size_ = size;
  forget();
}

void DriverRing::forget() {
  std::memset(memory_, 0, bytes(size_));
  offered_ = taken_ = 0;
}

void DriverRing::describe(uint16_t index, const Descriptor& descriptor) {
  std::memcpy(memory_ + sizeof descriptor * index, &descriptor, sizeof descriptor);
}

void DriverRing::offer(uint16_t head) {
  std::atomic_ref(at(available(), 2 + offered_ % size_)).store(head, std::memory_order_relaxed);
  std::atomic_ref(at(available(), 1)).store(++offered_, std::memory_order_seq_cst);
}

std::optional<std::pair<uint32_t, uint32_t>> DriverRing::take() {
  if (std::atomic_ref(at(used(), 1)).load(std::memory_order_seq_cst) == taken_) return {};
  std::array<uint32_t, 2> element{};
  std::memcpy(element.data(), used() + 4 + 8 * size_t{static_cast<uint16_t>(taken_ % size_)}, sizeof element);
  ++taken_;
  return {{element[0], element[1]}};
}

bool DriverRing::wants_kick() const {
  return (std::atomic_ref(at(used(), 0)).load(std::memory_order_seq_cst) & 1) == 0;
}

void DriverRing::set_no_interrupt(bool on) {
  std::atomic_ref(at(available(), 0)).store(on ? 1 : 0, std::memory_order_seq_cst);
}

void DriverRing::set_available_index(uint16_t index) {
  std::atomic_ref(at(available(), 1)).store(index, std::memory_order_seq_cst);
}

// ---- QEMU

FakeGuest::FakeGuest() {
  int ends[2];
  must(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
  socket_.reset(ends[0]);
  device_end_.reset(ends[1]);
  memory_.reset(::memfd_create("guest", MFD_CLOEXEC));
  must(::ftruncate(memory_.get(), low_bytes + high_bytes) == 0, "memfd");
  void* base = ::mmap(nullptr, low_bytes + high_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
  must(base != MAP_FAILED, "mmap");
  base_ = static_cast<std::byte*>(base);
  for (size_t i = 0; i < 2; ++i) {
    rings_[i].lay_out(base_ + low_rings_at + i * 0x10000, ring_size);
    kicks_[i].reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    calls_[i].reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    errs_[i].reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    must(kicks_[i] && calls_[i] && errs_[i], "eventfd");
  }
  restart_driver();
}

FakeGuest::~FakeGuest() { ::munmap(base_, low_bytes + high_bytes); }

void FakeGuest::send_raw(std::string_view bytes, std::span<const int> fds) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(64 * sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    *rights = {};
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  must(::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()), "sendmsg");
}

void FakeGuest::send(vhost::Request request, std::string_view payload, std::span<const int> fds, uint32_t flags) {
  const vhost::Header header{request, vhost::version | flags, static_cast<uint32_t>(payload.size())};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += payload;
  send_raw(bytes, fds);
}

Reply FakeGuest::reply() {
  Reply reply;
  must(poll_in(socket_.get(), patience), "no reply");
  must(::recv(socket_.get(), &reply.header, sizeof reply.header, MSG_WAITALL) == sizeof reply.header,
       "a reply's header");
  reply.payload.resize(reply.header.size);
  if (reply.header.size == 0) return reply;
  must(::recv(socket_.get(), reply.payload.data(), reply.payload.size(), MSG_WAITALL) == reply.header.size, "a reply");
  return reply;
}

bool FakeGuest::hung_up() {
  char byte = 0;
  return poll_in(socket_.get(), patience) && ::recv(socket_.get(), &byte, 1, 0) <= 0;
}

void FakeGuest::negotiate() {
  send(vhost::Request::get_features, std::string_view());
  const auto features = reply().read<uint64_t>();
  must((features & vhost::feature_protocol_features) != 0, "QEMU 7.2 wants PROTOCOL_FEATURES");
  send(vhost::Request::get_protocol_features, std::string_view());
  const auto protocol = reply().read<uint64_t>();
  must((protocol & vhost::protocol_config) != 0, "QEMU 7.2 wants CONFIG");
  send(vhost::Request::set_protocol_features, protocol);
  send(vhost::Request::set_owner, std::string_view());
  send(vhost::Request::set_features, vhost::feature_protocol_features | vhost::feature_version_1);
}

std::string FakeGuest::memory_table() const {
  const auto user = reinterpret_cast<uint64_t>(base_);
  const vhost::MemoryTableHeader head{2, 0};
  const qemu::MemoryRegion regions[] = {{0, low_bytes, user, 0},
                                        {high_address, high_bytes, user + low_bytes, low_bytes}};
  std::string table(reinterpret_cast<const char*>(&head), sizeof head);
  table.append(reinterpret_cast<const char*>(regions), sizeof regions);
  return table;
}

void FakeGuest::share_memory() {
  const int fds[] = {memory_.get(), memory_.get()};
  send(vhost::Request::set_mem_table, std::string_view(memory_table()), fds, vhost::flag_need_reply);
  must(reply().read<uint64_t>() == 0, "the memory table was refused");
}

void FakeGuest::set_up(Queue queue, uint16_t base) {
  const auto i = static_cast<uint32_t>(queue);
  const auto user = [](const std::byte* p) { return reinterpret_cast<uint64_t>(p); };
  send(vhost::Request::set_vring_num, vhost::VringState{i, rings_[i].size()});
  send(vhost::Request::set_vring_base, vhost::VringState{i, base});
  send(vhost::Request::set_vring_addr, vhost::VringAddress{i, 0, user(rings_[i].descriptors()), user(rings_[i].used()),
                                                           user(rings_[i].available()), 0});
  const int fds[] = {kicks_[i].get(), calls_[i].get(), errs_[i].get()};
  send(vhost::Request::set_vring_kick, uint64_t{i}, {&fds[0], 1});
  send(vhost::Request::set_vring_call, uint64_t{i}, {&fds[1], 1});
  send(vhost::Request::set_vring_err, uint64_t{i}, {&fds[2], 1});
}

void FakeGuest::start() {
  share_memory();
  for (const Queue queue : {Queue::rx, Queue::tx}) set_up(queue, bases_[static_cast<size_t>(queue)]);
  for (uint32_t i = 0; i < 2; ++i) send(vhost::Request::set_vring_enable, vhost::VringState{i, 1});
  // Whoever comes back from here knows that the device has heard it all.
  send(vhost::Request::get_queue_num, std::string_view());
  reply();
}

std::array<uint16_t, 2> FakeGuest::stop() {
  for (uint32_t i = 0; i < 2; ++i) send(vhost::Request::set_vring_enable, vhost::VringState{i, 0});
  for (uint32_t i = 0; i < 2; ++i) {
    send(vhost::Request::get_vring_base, vhost::VringState{i, 0});
    bases_[i] = static_cast<uint16_t>(reply().read<vhost::VringState>().num);
  }
  return bases_;
}

void FakeGuest::restart_driver() {
  for (DriverRing& ring : rings_) ring.forget();
  bases_ = {};
  free_rx_.clear();
  free_tx_.clear();
  for (uint16_t slot = 0; slot < slots; ++slot) {
    free_rx_.push_back(slot);
    free_tx_.push_back(slot);
  }
}

// ---- the driver

uint64_t FakeGuest::slot_address(Queue queue, uint16_t slot) const {
  return queue == Queue::rx ? high_address + slot * rx_slot_bytes : tx_slots_at + slot * tx_slot_bytes;
}

std::byte* FakeGuest::slot_at(Queue queue, uint16_t slot) const {
  return queue == Queue::rx ? base_ + low_bytes + slot * rx_slot_bytes : base_ + tx_slots_at + slot * tx_slot_bytes;
}

void FakeGuest::force_kick(Queue queue) {
  const uint64_t one = 1;
  must(::write(kicks_[static_cast<size_t>(queue)].get(), &one, sizeof one) == sizeof one, "kick");
}

void FakeGuest::kick(Queue queue) {
  if (ring(queue).wants_kick()) force_kick(queue);
}

void FakeGuest::fill_rx() {
  DriverRing& rx = ring(Queue::rx);
  for (const uint16_t slot : free_rx_) {
    const auto head = static_cast<uint16_t>(2 * slot);
    const uint64_t address = slot_address(Queue::rx, slot);
    rx.describe(head, {address, sizeof(PacketHeader), next_flag | write_flag, static_cast<uint16_t>(head + 1)});
    rx.describe(static_cast<uint16_t>(head + 1), {address + 64, rx_bytes, write_flag, 0});
    rx.offer(head);
  }
  free_rx_.clear();
  kick(Queue::rx);
}

std::optional<Packet> FakeGuest::try_receive(bool refill) {
  const auto used = ring(Queue::rx).take();
  if (!used) return {};
  const auto slot = static_cast<uint16_t>(used->first / 2);
  Packet packet;
  std::memcpy(&packet.header, slot_at(Queue::rx, slot), sizeof packet.header);
  must(used->second == sizeof packet.header + packet.header.len && packet.header.len <= rx_bytes, "a packet's length");
  packet.data.assign(reinterpret_cast<const char*>(slot_at(Queue::rx, slot) + 64), packet.header.len);
  free_rx_.push_back(slot);
  if (refill && free_rx_.size() >= slots / 2) fill_rx();
  return packet;
}

bool FakeGuest::wait_for_interrupt(Queue queue, std::chrono::milliseconds time) {
  const int fd = calls_[static_cast<size_t>(queue)].get();
  uint64_t count = 0;
  return poll_in(fd, time) && ::read(fd, &count, sizeof count) == sizeof count;
}

bool FakeGuest::broken(std::chrono::milliseconds time) {
  pollfd wait[] = {{errs_[0].get(), POLLIN, 0}, {errs_[1].get(), POLLIN, 0}};
  return ::poll(wait, 2, static_cast<int>(time.count())) > 0;
}

Packet FakeGuest::receive(bool refill) {
  while (true) {
    if (auto packet = try_receive(refill)) return *packet;
    if (refill && !free_rx_.empty()) fill_rx();
    must(wait_for_interrupt(Queue::rx, patience), "no packet came");
  }
}

Packet FakeGuest::expect(PacketOp op) {
  Packet packet = receive();
  if (packet.header.op == op) return packet;
  throw std::runtime_error("fake guest: expected op " + std::to_string(static_cast<int>(op)) + ", but " +
                           std::to_string(static_cast<int>(packet.header.op)) + " came");
}

void FakeGuest::reclaim_tx() {
  while (const auto used = ring(Queue::tx).take()) free_tx_.push_back(static_cast<uint16_t>(used->first / 2));
}

void FakeGuest::transmit(const PacketHeader& header, std::string_view data) {
  for (reclaim_tx(); free_tx_.empty(); reclaim_tx())
    must(wait_for_interrupt(Queue::tx, patience), "no packet was taken");
  const uint16_t slot = free_tx_.back();
  free_tx_.pop_back();
  const auto head = static_cast<uint16_t>(2 * slot);
  std::byte* at = slot_at(Queue::tx, slot);
  std::memcpy(at, &header, sizeof header);
  if (!data.empty()) std::memcpy(at + 64, data.data(), data.size());
  const uint64_t address = slot_address(Queue::tx, slot);
  DriverRing& tx = ring(Queue::tx);
  tx.describe(head, {address, sizeof header, data.empty() ? uint16_t{0} : next_flag, static_cast<uint16_t>(head + 1)});
  tx.describe(static_cast<uint16_t>(head + 1), {address + 64, static_cast<uint32_t>(data.size()), 0, 0});
  tx.offer(head);
  kick(Queue::tx);
}

PacketHeader make_header(PacketOp op, uint32_t guest_port, uint32_t host_port) {
  PacketHeader header{};
  header.src_cid = FakeGuest::cid;
  header.dst_cid = qemu::host_cid;
  header.src_port = guest_port;
  header.dst_port = host_port;
  header.type = PacketType::stream;
  header.op = op;
  return header;
}

void FakeGuest::transmit(PacketOp op, uint32_t guest_port, uint32_t host_port, std::string_view data, uint32_t flags) {
  PacketHeader header = make_header(op, guest_port, host_port);
  header.len = static_cast<uint32_t>(data.size());
  header.flags = flags;
  header.buf_alloc = buf_alloc;
  header.fwd_cnt = fwd_cnt;
  transmit(header, data);
}

void FakeGuest::answer(const PacketHeader& to, PacketOp op, uint32_t flags, std::string_view data) {
  transmit(op, to.dst_port, to.src_port, data, flags);
}

}  // namespace mvm::test
