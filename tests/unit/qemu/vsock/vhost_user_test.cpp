// SPDX-License-Identifier: Apache-2.0
// What QEMU says, and what something that is not quite QEMU may say.
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::test;
using vhost::Request;

namespace {

template <class T>
std::string bytes_of(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

struct Config {
  vhost::ConfigHeader header;
  uint64_t cid;
} __attribute__((packed));

}  // namespace

TEST_CASE("the device offers what QEMU 7.2 demands, and no more than it can do", "[qemu][vhost-user]") {
  Machine m;
  m.guest.send(Request::get_features, std::string_view());
  const auto features = m.guest.reply().read<uint64_t>();
  CHECK((features & vhost::feature_version_1) != 0);
  CHECK((features & vhost::feature_protocol_features) != 0);
  CHECK((features & vhost::feature_ring_packed) == 0);
  m.guest.send(Request::get_protocol_features, std::string_view());
  CHECK(m.guest.reply().read<uint64_t>() == (vhost::protocol_config | vhost::protocol_reply_ack));
  m.guest.send(Request::get_queue_num, std::string_view());
  CHECK(m.guest.reply().read<uint64_t>() == 2);
}

TEST_CASE("the guest's CID is the configuration, whole or in part", "[qemu][vhost-user]") {
  Machine m;
  const Config all{{0, 8, 0}, 0};
  m.guest.send(Request::get_config, all);
  const auto whole = m.guest.reply();
  CHECK(whole.payload.size() == sizeof all);
  CHECK(whole.read<Config>().cid == FakeGuest::cid);
  m.guest.send(Request::get_config, Config{{4, 4, 0}, 0});
  const auto part = m.guest.reply();
  CHECK(part.payload.size() == sizeof(vhost::ConfigHeader) + 4);
  CHECK(part.payload.substr(sizeof(vhost::ConfigHeader)) == std::string(4, '\0'));
  for (const auto& [offset, size] :
       {std::pair{0u, 9u}, {8u, 1u}, {9u, 0u}, {4u, 5u}, {UINT32_MAX, 1u}, {1u, UINT32_MAX}}) {
    m.guest.send(Request::get_config, Config{{offset, size, 0}, 0});
    CHECK(m.guest.reply().payload.empty());  // no such range
  }
}

TEST_CASE("a CID that no guest can have is refused", "[qemu][vhost-user]") {
  for (const uint64_t cid : {0ull, 1ull, 2ull, 0xffffffffull, 0x1'0000'0000ull}) {
    FakeGuest guest;
    CHECK_THROWS_WITH(qemu::VsockDevice::start(guest.device_end(), {.guest_cid = cid}),
                      ContainsSubstring("is reserved; a guest's is 3 or above"));
  }
}

TEST_CASE("a request that the device does not know is refused when QEMU asks", "[qemu][vhost-user]") {
  Machine m;
  m.guest.negotiate();
  for (const uint32_t request :
       {0u, 6u, 7u, 19u, 20u, 21u, 22u, 25u, 31u, 34u, 36u, 37u, 39u, 40u, 41u, 42u, 44u, 99u, UINT32_MAX}) {
    CHECK(m.guest.acknowledged(Request{request}, uint64_t{0}) == 1);
  }
  CHECK(m.guest.acknowledged(Request::set_owner, uint64_t{0}) == 0);
  CHECK(m.log->has("vhost-user: request 39 of QEMU's was refused") == false);  // eight lines, then one a second
  CHECK(m.log->has("vhost-user: request 6 of QEMU's was refused"));
}

TEST_CASE("values that are not possible are refused, and the device lives on", "[qemu][vhost-user][hostile]") {
  Machine m;
  m.guest.negotiate();
  m.guest.share_memory();
  CHECK(m.guest.acknowledged(Request::set_features, vhost::feature_ring_packed) == 1);
  for (const uint32_t size : {0u, 3u, 2048u, 0x10000u}) {
    CHECK(m.guest.acknowledged(Request::set_vring_num, vhost::VringState{0, size}) == 1);
  }
  CHECK(m.guest.acknowledged(Request::set_vring_num, vhost::VringState{2, 128}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_base, vhost::VringState{0, 0x10000}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_base, vhost::VringState{UINT32_MAX, 0}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_addr, vhost::VringAddress{7, 0, 0, 0, 0, 0}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_enable, vhost::VringState{0, 2}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_enable, vhost::VringState{9, 1}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_kick, uint64_t{0} | vhost::vring_no_fd) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_kick, uint64_t{0}) == 1);
  const int regular_file[] = {m.guest.memory_fd()};  // cannot be watched, and rings nothing
  CHECK(m.guest.acknowledged(Request::set_vring_kick, uint64_t{0}, regular_file) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_call, uint64_t{200}, regular_file) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_err, uint64_t{200}, regular_file) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_call, uint64_t{0} | vhost::vring_no_fd) == 0);
  m.guest.start();
  m.guest.fill_rx();
  m.open(7);
}

TEST_CASE("a ring that runs is not changed under way", "[qemu][vhost-user][hostile]") {
  Machine m;
  m.guest.boot();
  CHECK(m.guest.acknowledged(Request::set_vring_num, vhost::VringState{0, 64}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_base, vhost::VringState{1, 7}) == 1);
  CHECK(m.guest.acknowledged(Request::set_vring_addr, vhost::VringAddress{0, 0, 0, 0, 0, 0}) == 1);
  m.open(7);
}

TEST_CASE("a memory table that is not possible is refused, and another one serves", "[qemu][vhost-user][hostile]") {
  Machine m;
  m.guest.negotiate();
  const int fds[] = {m.guest.memory_fd(), m.guest.memory_fd()};
  const auto refused = [&](const std::string& table, std::span<const int> files) {
    m.guest.send(Request::set_mem_table, std::string_view(table), files, vhost::flag_need_reply);
    return m.guest.reply().read<uint64_t>() == 1;
  };
  std::string nine = m.guest.memory_table();
  nine[0] = 9;
  CHECK(refused(nine + std::string(7 * 32, '\0'), fds));
  CHECK(refused(m.guest.memory_table(), {fds, 1}));
  std::string too_long = m.guest.memory_table();
  too_long[8 + 8 + 7] = 0x10;  // the first region's size
  CHECK(refused(too_long, fds));
  m.guest.boot();
  m.open(7);
}

TEST_CASE("a memory table without the rings takes them out of use", "[qemu][vhost-user][hostile]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  const vhost::MemoryTableHeader none{0, 0};
  CHECK(m.guest.acknowledged(Request::set_mem_table, none) == 0);
  CHECK(ends(fd.get()));
  CHECK(m.connect(7, milliseconds(0)).wait().status == MVM_ERR_REFUSED);
  CHECK(m.log->wait_for("the ring is not in the memory that QEMU now shares"));
}

TEST_CASE("a message that cannot be one ends the device with a reason, and nothing else",
          "[qemu][vhost-user][hostile]") {
  const auto ends_with = [](const std::string& bytes, const std::string& reason, std::span<const int> fds = {}) {
    Machine m;
    Call call = m.connect(7);
    m.guest.send_raw(bytes, fds);
    CHECK(call.wait().error == "vsock port 7: the VM has ended");
    INFO(reason);
    CHECK(m.log->has(reason));
  };
  const auto header = [](uint32_t request, uint32_t flags, uint32_t size) {
    return bytes_of(vhost::Header{Request{request}, flags, size});
  };
  ends_with(header(1, 0, 0), "vhost-user: a message has version 0, not 1");
  ends_with(header(1, 2, 0), "vhost-user: a message has version 2, not 1");
  ends_with(header(1, 1 | vhost::flag_reply, 0), "vhost-user: a message is a reply, but nothing was asked");
  ends_with(header(1, 1, 4097), "vhost-user: a message of 4097 bytes is too long");
  ends_with(header(1, 1, UINT32_MAX), "vhost-user: a message of 4294967295 bytes is too long");
  ends_with(header(2, 1, 4) + "1234", "vhost-user: request 2 has 4 bytes, too few");
  ends_with(header(9, 1, 8) + "12345678", "vhost-user: request 9 has 8 bytes, too few");
  ends_with(header(24, 1, 0), "vhost-user: request 24 has 0 bytes, too few");
  ends_with(header(5, 1, 8) + bytes_of(vhost::MemoryTableHeader{3, 0}), "vhost-user: request 5 has 8 bytes, too few");
  ends_with(header(11, 1, 8) + bytes_of(vhost::VringState{2, 0}),
            "vhost-user: QEMU asks for the state of a ring that there isn't");
  const std::vector<int> many(9, 0);
  ends_with(header(3, 1, 0), "vhost-user: a message brings more file descriptors than can be taken", many);
}

TEST_CASE("a message may come in pieces", "[qemu][vhost-user]") {
  Machine m;
  const std::string message =
      bytes_of(vhost::Header{Request::get_config, 1, sizeof(Config)}) + bytes_of(Config{{0, 8, 0}, 0});
  for (const char byte : message) m.guest.send_raw({&byte, 1});
  CHECK(m.guest.reply().read<Config>().cid == FakeGuest::cid);
}

TEST_CASE("a front end that ends in the middle of a message ends the device", "[qemu][vhost-user][hostile]") {
  Machine m;
  Call call = m.connect(7);
  m.guest.send_raw("\1\0\0");
  m.guest.close_front_end();
  CHECK(call.wait().status == MVM_ERR_CANCELLED);
}

TEST_CASE("a front end that does not take its replies ends the device", "[qemu][vhost-user][hostile]") {
  Machine m;
  Call call = m.connect(7);
  try {
    while (call.pending()) m.guest.send(Request::get_features, std::string_view());
  } catch (const std::exception&) {
    // It has hung up on us.
  }
  CHECK(call.wait().status == MVM_ERR_CANCELLED);
  CHECK(m.log->has("vhost-user: QEMU does not take a reply"));
}

TEST_CASE("file descriptors that come with any message are closed in the end", "[qemu][vhost-user][hostile]") {
  const size_t before = open_fds();
  {
    Machine m;
    m.guest.negotiate();
    const size_t begin = open_fds();
    const std::vector<int> eight(8, 0);
    for (const uint32_t request : {3u, 18u, 99u}) {
      m.guest.send(Request{request}, bytes_of(vhost::VringState{0, 0}), eight);
    }
    for (int n = 0; n < 20; ++n) {
      m.guest.start();
      m.guest.stop();
    }
    CHECK(open_fds() <= begin + 4);                                                // the two rings' call and err
    m.guest.send_raw(bytes_of(vhost::Header{Request::set_owner, 1, 100}), eight);  // and never the rest
  }
  CHECK(open_fds() == before);
}

TEST_CASE("a front end that knows no protocol features finds its rings enabled", "[qemu][vhost-user]") {
  Machine m;
  m.guest.send(Request::set_features, vhost::feature_version_1);
  m.guest.send(Request::set_protocol_features, vhost::protocol_reply_ack);
  m.guest.share_memory();
  m.guest.set_up(Queue::rx, 0);
  m.guest.set_up(Queue::tx, 0);
  m.guest.fill_rx();
  m.open(7);
}

TEST_CASE("a ring that is not enabled is left alone", "[qemu][vhost-user]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.accept_from_guest(1, 2);
  CHECK(m.guest.acknowledged(Request::set_vring_enable, vhost::VringState{1, 0}) == 0);
  m.guest.transmit(PacketOp::rw, 1, 2, "too early");
  m.guest.force_kick(Queue::tx);
  CHECK(m.connect(7, milliseconds(0)).wait().status == MVM_ERR_REFUSED);  // a round trip through the device
  char byte = 0;
  CHECK(::recv(fd.get(), &byte, 1, MSG_DONTWAIT) == -1);
  CHECK(m.guest.acknowledged(Request::set_vring_enable, vhost::VringState{1, 1}) == 0);
  CHECK(read_exactly(fd.get(), 9) == "too early");
}

TEST_CASE("an eventfd that is full does not hold the device up", "[qemu][vhost-user][hostile]") {
  Machine m;
  m.guest.boot();
  const UniqueFd full(::eventfd(0, EFD_CLOEXEC));  // blocking
  const uint64_t most = UINT64_MAX - 1;
  REQUIRE(::write(full.get(), &most, sizeof most) == sizeof most);
  const int fds[] = {full.get()};
  CHECK(m.guest.acknowledged(Request::set_vring_call, uint64_t{0}, fds) == 0);
  Call call = m.connect(7);
  std::optional<Packet> request;
  for (const auto end = std::chrono::steady_clock::now() + patience;
       !request && std::chrono::steady_clock::now() < end;) {
    request = m.guest.try_receive();
  }
  REQUIRE(request);
  m.guest.answer(request->header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
}
