// SPDX-License-Identifier: Apache-2.0
// Packets and rings that no honest driver makes, through the whole device.
#include <sys/socket.h>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::test;

namespace {

// A round trip through the device, which is alive and has handled everything before.
void check_alive(Machine& m) {
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  write_all(fd.get(), "alive");
  CHECK(m.guest.expect(PacketOp::rw).data == "alive");
}

}  // namespace

TEST_CASE("packets that are not from the guest's CID, or not to the host's, are dropped", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  m.device->set_on_guest_connect([](uint32_t, UniqueFd&) { return true; });
  for (const uint64_t cid : {0ull, 1ull, 2ull, 4ull, 1ull << 32 | 3, ~0ull}) {
    PacketHeader header = make_header(PacketOp::request, 1, 80);
    header.src_cid = cid;
    m.guest.transmit(header);
  }
  for (const uint64_t cid : {0ull, 1ull, 3ull, 1ull << 32 | 2, ~0ull}) {
    PacketHeader header = make_header(PacketOp::request, 1, 80);
    header.dst_cid = cid;
    m.guest.transmit(header);
  }
  check_alive(m);
  CHECK(m.log->has("not from its CID, or not to the host's; dropped"));
}

TEST_CASE("a packet of another type is answered with a reset of that type", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  for (const uint16_t type : {uint16_t{0}, uint16_t{2}, uint16_t{0xffff}}) {
    PacketHeader header = make_header(PacketOp::request, 1, 80);
    header.type = PacketType{type};
    m.guest.transmit(header);
    CHECK(m.guest.expect(PacketOp::rst).header.type == PacketType{type});
  }
}

TEST_CASE("a packet of no connection is answered with a reset, unless it is one", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  for (const PacketOp op : {PacketOp::invalid, PacketOp::response, PacketOp::shutdown, PacketOp::rw,
                            PacketOp::credit_update, PacketOp::credit_request, PacketOp{77}}) {
    m.guest.transmit(op, 1, 80);
    CHECK(m.guest.expect(PacketOp::rst).header.dst_port == 1);
  }
  m.guest.transmit(PacketOp::rst, 1, 80);
  check_alive(m);
}

TEST_CASE("an operation that does not exist is ignored on a connection", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::invalid);
  m.guest.answer(request, PacketOp{0xffff});
  m.guest.answer(request, PacketOp::rw, 0, "still here");
  CHECK(read_exactly(fd.get(), 10) == "still here");
}

TEST_CASE("opening a connection that is open resets it", "[qemu][vsock][hostile]") {
  for (const PacketOp op : {PacketOp::request, PacketOp::response}) {
    Machine m;
    m.guest.boot();
    PacketHeader request{};
    const UniqueFd fd = m.open(7, &request);
    m.guest.answer(request, op);
    m.guest.expect(PacketOp::rst);
    CHECK(ends(fd.get()));
  }
}

TEST_CASE("a packet that claims more bytes than it has resets its connection", "[qemu][vsock][hostile]") {
  for (const uint32_t claimed : {6u, 65536u, UINT32_MAX}) {
    Machine m;
    m.guest.boot();
    PacketHeader request{};
    const UniqueFd fd = m.open(7, &request);
    PacketHeader header = make_header(PacketOp::rw, request.dst_port, request.src_port);
    header.len = claimed;
    m.guest.transmit(header, "12345");
    m.guest.expect(PacketOp::rst);
    CHECK(ends(fd.get()));
  }
}

TEST_CASE("a packet that claims fewer bytes than it has is what it claims to be", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  PacketHeader header = make_header(PacketOp::rw, request.dst_port, request.src_port);
  header.len = 5;
  m.guest.transmit(header, "12345and more");
  header.len = 0;
  m.guest.transmit(header, "nothing");
  m.guest.answer(request, PacketOp::shutdown, qemu::shutdown_send);
  CHECK(read_to_end(fd.get()) == "12345");
}

TEST_CASE("data after the guest's own end resets its connection", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::shutdown, qemu::shutdown_send);
  m.guest.answer(request, PacketOp::rw, 0, "more");
  m.guest.expect(PacketOp::rst);
  CHECK(ends(fd.get()));
}

TEST_CASE("flags that mean nothing change nothing", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::shutdown, 0xffff'fffc);
  m.guest.answer(request, PacketOp::rw, 0, "still here");
  CHECK(read_exactly(fd.get(), 10) == "still here");
}

TEST_CASE("a buffer too short for a packet is dropped", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  DriverRing& tx = m.guest.ring(Queue::tx);
  tx.describe(100, {0, 43, 0, 0});
  tx.describe(101, {0, 4096, write_flag, 0});  // nothing of it is for the device to read
  tx.offer(100);
  tx.offer(101);
  m.guest.kick(Queue::tx);
  while (!tx.take()) {
  }
  while (!tx.take()) {
  }
  check_alive(m);
  CHECK(m.log->has("the guest sent something too short for a packet; dropped"));
}

TEST_CASE("a ring that breaks the rules ends its streams and is reported; a new driver starts over",
          "[qemu][vsock][hostile]") {
  for (const Queue queue : {Queue::rx, Queue::tx}) {
    Machine m;
    m.guest.boot();
    const UniqueFd fd = m.open(7);
    Call waiting = m.connect(8);
    m.guest.expect(PacketOp::request);
    // Behind the good buffers: they are used up first.
    m.guest.ring(queue).set_available_index(static_cast<uint16_t>(m.guest.ring(queue).offered() + 1000));
    m.guest.force_kick(queue);
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!m.guest.broken(std::chrono::milliseconds(1)) && std::chrono::steady_clock::now() < end) {
      ::send(fd.get(), "more", 4, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    CHECK(m.guest.broken(std::chrono::milliseconds(0)));
    CHECK(ends(fd.get()));
    CHECK(m.log->wait_for(queue == Queue::rx ? "broke the receive ring" : "broke the transmit ring"));
    CHECK(waiting.pending());
    m.guest.stop();
    m.guest.restart_driver();
    m.guest.start();
    m.guest.fill_rx();
    m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::response);
    CHECK(waiting.wait().status == MVM_OK);
  }
}

TEST_CASE("a guest that sends what earns resets, and takes none, is listened to no more until it does",
          "[qemu][vsock][hostile]") {
  qemu::VsockLimits limits;
  limits.max_waiting_resets = 16;
  Machine m(limits);
  m.guest.negotiate();
  m.guest.start();  // no receive buffers
  for (uint32_t n = 0; n < 60; ++n) m.guest.transmit(PacketOp::rw, n, 80);
  DriverRing& tx = m.guest.ring(Queue::tx);
  CHECK(m.connect(7, std::chrono::milliseconds(50)).wait().status == MVM_ERR_DEADLINE);
  while (tx.take()) {
  }
  CHECK(tx.taken() == 16);
  CHECK(device_stays_asleep(std::chrono::milliseconds(100)));
  m.guest.fill_rx();
  for (uint32_t n = 0; n < 60; ++n) CHECK(m.guest.expect(PacketOp::rst).header.dst_port == n);
}

TEST_CASE("a guest that floods the device with nonsense gets few lines into the log", "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  for (int n = 0; n < 20'000; ++n) {
    PacketHeader header = make_header(PacketOp::rw, 1, 80);
    header.src_cid = 99;
    m.guest.transmit(header);
  }
  check_alive(m);
  CHECK(m.log->lines().size() < 40);
}

TEST_CASE("a guest that opens and abandons connections as fast as it can costs no memory or files",
          "[qemu][vsock][hostile]") {
  Machine m;
  m.guest.boot();
  m.device->set_on_guest_connect([](uint32_t, UniqueFd& fd) {
    fd.reset();
    return true;
  });
  const size_t before = open_fds();
  for (uint32_t n = 0; n < 5000; ++n) {
    m.guest.transmit(PacketOp::request, n, 80);
    m.guest.transmit(PacketOp::rst, n, 80);
    while (m.guest.try_receive()) {
    }
  }
  m.device->set_on_guest_connect({});
  while (m.guest.try_receive()) {
  }
  Call call = m.connect(7);
  Packet packet = m.guest.receive();
  while (packet.header.op != PacketOp::request) packet = m.guest.receive();
  CHECK(open_fds() == before);
}
