// SPDX-License-Identifier: Apache-2.0
// The device through its public face, one packet at a time.
#include <atomic>

#include <fcntl.h>
#include <sys/socket.h>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::test;
using std::chrono::milliseconds;

namespace {

qemu::VsockLimits with_close_timeout(milliseconds time) {
  qemu::VsockLimits limits;
  limits.close_timeout = time;
  return limits;
}

}  // namespace

TEST_CASE("a connect asks the guest, and carries bytes both ways once it answers", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(5252);
  const Packet request = m.guest.expect(PacketOp::request);
  CHECK(request.header.src_cid == 2);
  CHECK(request.header.dst_cid == FakeGuest::cid);
  CHECK(request.header.dst_port == 5252);
  CHECK(request.header.type == PacketType::stream);
  CHECK(request.header.buf_alloc == 256 * 1024);
  CHECK(call.pending());
  m.guest.answer(request.header, PacketOp::response);
  const Outcome outcome = call.wait();
  REQUIRE(outcome.status == MVM_OK);
  write_all(outcome.fd.get(), "hello, guest");
  const Packet data = m.guest.expect(PacketOp::rw);
  CHECK(data.data == "hello, guest");
  m.guest.answer(data.header, PacketOp::rw, 0, "hello, host");
  CHECK(read_exactly(outcome.fd.get(), 11) == "hello, host");
}

TEST_CASE("a stream is a close-on-exec, blocking stream socket", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  int type = 0;
  socklen_t size = sizeof type;
  REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0);
  CHECK(type == SOCK_STREAM);
  CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(fd.get(), F_GETFL) & O_NONBLOCK) == 0);
}

TEST_CASE("a port that nobody listens on is refused at once when no time was given", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(4999, milliseconds(0));
  m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::rst);
  const Outcome outcome = call.wait();
  CHECK(outcome.status == MVM_ERR_REFUSED);
  CHECK(outcome.error == "vsock port 4999: nobody in the guest listens on it, or its queue is full");
}

TEST_CASE("a guest whose driver is not up refuses a connect that has no time", "[qemu][vsock]") {
  Machine m;
  const Outcome outcome = m.connect(4999, milliseconds(0)).wait();
  CHECK(outcome.status == MVM_ERR_REFUSED);
  CHECK(outcome.error == "vsock port 4999: the guest's vsock driver is not up; try again when the guest has booted");
}

TEST_CASE("a port is tried until somebody listens, ever more slowly", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(4999);
  std::vector<std::chrono::steady_clock::time_point> tries;
  Packet request;
  for (int n = 0; n < 5; ++n) {
    request = m.guest.expect(PacketOp::request);
    tries.push_back(std::chrono::steady_clock::now());
    if (n < 4) m.guest.answer(request.header, PacketOp::rst);
  }
  CHECK(tries[4] - tries[0] >= milliseconds(5 + 10 + 20 + 40 - 1));
  CHECK(call.pending());
  m.guest.answer(request.header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
}

TEST_CASE("a port that nobody ever listens on is given up at the deadline", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(4999, milliseconds(60));
  while (call.pending()) {
    if (const auto packet = m.guest.try_receive()) m.guest.answer(packet->header, PacketOp::rst);
  }
  const Outcome outcome = call.wait();
  CHECK(outcome.status == MVM_ERR_DEADLINE);
  CHECK(outcome.error == "vsock port 4999: nobody in the guest listened on it within 60 ms");
}

TEST_CASE("a guest that does not answer is given up at the deadline, and told so", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(4999, milliseconds(40));
  const Packet request = m.guest.expect(PacketOp::request);
  const Outcome outcome = call.wait();
  CHECK(outcome.status == MVM_ERR_DEADLINE);
  CHECK(outcome.error == "vsock port 4999: the guest did not answer within 40 ms");
  CHECK(m.guest.expect(PacketOp::rst).header.src_port == request.header.src_port);
  m.guest.answer(request.header, PacketOp::response);  // too late: no such connection
  CHECK(m.guest.expect(PacketOp::rst).header.src_port == request.header.src_port);
}

TEST_CASE("a guest that does not answer the one try is given up, too", "[qemu][vsock]") {
  qemu::VsockLimits limits;
  limits.answer_timeout = milliseconds(30);
  Machine m(limits);
  m.guest.boot();
  const Outcome outcome = m.connect(4999, milliseconds(0)).wait();
  CHECK(outcome.status == MVM_ERR_DEADLINE);
  CHECK(outcome.error == "vsock port 4999: the guest did not answer within 30 ms");
}

TEST_CASE("a connect waits for the driver to come up", "[qemu][vsock]") {
  Machine m;
  Call call = m.connect(7);
  m.guest.boot();
  m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
}

TEST_CASE("a driver that never comes up is given up at the deadline", "[qemu][vsock]") {
  Machine m;
  const Outcome outcome = m.connect(7, milliseconds(30)).wait();
  CHECK(outcome.status == MVM_ERR_DEADLINE);
  CHECK(outcome.error == "vsock port 7: no vsock driver came up in the guest within 30 ms");
}

TEST_CASE("a guest that answers a connect with nonsense is reset, and asked again", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(7);
  m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::rw, 0, "surprise");
  m.guest.expect(PacketOp::rst);
  m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
}

// ---- from the guest

TEST_CASE("the guest's connection to a port that the host takes carries bytes both ways", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.accept_from_guest(1234, 80);
  m.guest.transmit(PacketOp::rw, 1234, 80, "GET /");
  CHECK(read_exactly(fd.get(), 5) == "GET /");
  write_all(fd.get(), "200 OK");
  const Packet answer = m.guest.expect(PacketOp::rw);
  CHECK(answer.data == "200 OK");
  CHECK(answer.header.src_port == 80);
  CHECK(answer.header.dst_port == 1234);
}

TEST_CASE("the guest's connection is reset when nobody takes it, or who is asked refuses", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  m.guest.transmit(PacketOp::request, 1234, 80);
  CHECK(m.guest.expect(PacketOp::rst).header.dst_port == 1234);
  std::atomic<uint32_t> asked{0};
  m.device->set_on_guest_connect([&](uint32_t port, UniqueFd&) {
    asked = port;
    return false;
  });
  m.guest.transmit(PacketOp::request, 1235, 81);
  CHECK(m.guest.expect(PacketOp::rst).header.dst_port == 1235);
  CHECK(asked == 81);
}

TEST_CASE("who takes the guest's connections may throw: that one is reset", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  m.device->set_on_guest_connect([](uint32_t, UniqueFd&) -> bool { throw std::runtime_error("out of luck"); });
  m.guest.transmit(PacketOp::request, 1234, 80);
  m.guest.expect(PacketOp::rst);
  CHECK(m.log->wait_for("vsock port 80: out of luck"));
}

TEST_CASE("once nobody takes connections any more, who took them is not called again", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  for (uint32_t round = 0; round < 50; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    m.device->set_on_guest_connect([&counter = *alive](uint32_t, UniqueFd&) {
      ++counter;
      return false;
    });
    m.guest.transmit(PacketOp::request, 1000 + round, 80);
    m.device->set_on_guest_connect({});
    alive.reset();  // a call after this is a use after free
    m.guest.expect(PacketOp::rst);
  }
}

TEST_CASE("connections beyond the limit are refused both ways, and logged once", "[qemu][vsock]") {
  qemu::VsockLimits limits;
  limits.max_connections = 2;
  Machine m(limits);
  m.guest.boot();
  const UniqueFd one = m.open(7);
  const UniqueFd two = m.open(7);
  const Outcome third = m.connect(7).wait();
  CHECK(third.status == MVM_ERR_BUSY);
  CHECK(third.error == "vsock port 7: 2 connections are open, and no more can be");
  m.device->set_on_guest_connect([](uint32_t, UniqueFd&) { return true; });
  for (uint32_t port = 1; port <= 3; ++port) {
    m.guest.transmit(PacketOp::request, port, 80);
    m.guest.expect(PacketOp::rst);
  }
  const auto lines = m.log->lines();
  CHECK(std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
          return line == "vsock: the guest has 2 connections; more are refused, and this is not said again";
        }) == 1);
}

// ---- ends

TEST_CASE("the host's half-close reaches the guest after the data, which may still answer", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  write_all(fd.get(), "last words");
  end_writing(fd.get());
  const Packet data = m.guest.expect(PacketOp::rw);
  CHECK(data.data == "last words");
  CHECK(m.guest.expect(PacketOp::shutdown).header.flags == qemu::shutdown_send);
  m.guest.answer(data.header, PacketOp::rw, 0, "indeed");
  m.guest.answer(data.header, PacketOp::shutdown, qemu::shutdown_both);
  m.guest.expect(PacketOp::rst);
  CHECK(read_to_end(fd.get()) == "indeed");
}

TEST_CASE("the guest's half-close is an end of file, and the host may still send", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::rw, 0, "last words");
  m.guest.answer(request, PacketOp::shutdown, qemu::shutdown_send);
  CHECK(read_to_end(fd.get()) == "last words");
  write_all(fd.get(), "indeed");
  CHECK(m.guest.expect(PacketOp::rw).data == "indeed");
}

TEST_CASE("a guest that receives no more breaks the host's pipe, and may still send", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::shutdown, qemu::shutdown_receive);
  CHECK(is_broken_pipe(fd.get()));
  m.guest.answer(request, PacketOp::rw, 0, "still here");
  CHECK(read_exactly(fd.get(), 10) == "still here");
}

TEST_CASE("a host that receives no more tells the guest so, and may still send", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  ::shutdown(fd.get(), SHUT_RD);
  m.guest.answer(request, PacketOp::rw, 0, "is anybody there?");
  CHECK(m.guest.expect(PacketOp::shutdown).header.flags == qemu::shutdown_receive);
  m.guest.answer(request, PacketOp::rw, 0, "was under way");  // and is no reason for a reset
  write_all(fd.get(), "still here");
  CHECK(m.guest.expect(PacketOp::rw).data == "still here");
}

TEST_CASE("the host's close delivers what was written, and ends when the guest confirms", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  UniqueFd fd = m.open(7, &request);
  write_all(fd.get(), "last words");
  fd.reset();
  CHECK(m.guest.expect(PacketOp::rw).data == "last words");
  const Packet shutdown = m.guest.expect(PacketOp::shutdown);
  CHECK((shutdown.header.flags & qemu::shutdown_send) != 0);
  if (shutdown.header.flags != qemu::shutdown_both) {  // the data was gone before the close was seen
    CHECK(m.guest.expect(PacketOp::shutdown).header.flags == qemu::shutdown_both);
  }
  m.guest.answer(request, PacketOp::rst);
  m.guest.answer(request, PacketOp::credit_update);  // nobody's, from now on
  m.guest.expect(PacketOp::rst);
}

TEST_CASE("a guest that does not confirm the host's close is reset", "[qemu][vsock]") {
  Machine m(with_close_timeout(milliseconds(30)));
  m.guest.boot();
  m.open(7).reset();
  CHECK(m.guest.expect(PacketOp::shutdown).header.flags == qemu::shutdown_both);
  m.guest.expect(PacketOp::rst);
}

TEST_CASE("a close with something unread resets the guest's connection", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::rw, 0, "unread");
  char byte = 0;
  REQUIRE(::recv(fd.get(), &byte, 1, MSG_PEEK) == 1);
  fd.reset();
  m.guest.expect(PacketOp::rst);
}

TEST_CASE("the guest's reset ends the stream", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::rst);
  CHECK(ends(fd.get()));
  CHECK(is_broken_pipe(fd.get()));
}

TEST_CASE("the guest's close is confirmed at once, though the host has yet to read", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  const std::string bytes = some_bytes(5 * 64 * 1024);  // more than the socket takes by itself
  for (size_t at = 0; at < bytes.size(); at += 64 * 1024) {
    m.guest.answer(request, PacketOp::rw, 0, bytes.substr(at, 64 * 1024));
  }
  m.guest.answer(request, PacketOp::shutdown, qemu::shutdown_both);
  while (m.guest.receive().header.op != PacketOp::rst) {
  }
  CHECK((read_to_end(fd.get()) == bytes));
}

TEST_CASE("when the VM goes its streams end, and open connects are cancelled", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  Call call = m.connect(4999);
  m.guest.expect(PacketOp::request);
  m.guest.close_front_end();
  const Outcome outcome = call.wait();
  CHECK(outcome.status == MVM_ERR_CANCELLED);
  CHECK(outcome.error == "vsock port 4999: the VM has ended");
  CHECK(ends(fd.get()));
  CHECK(m.connect(4999).wait().status == MVM_ERR_CANCELLED);
}

TEST_CASE("the device's end cancels what is open, ends the streams and leaves no file behind", "[qemu][vsock]") {
  const size_t before = open_fds();
  {
    Machine m;
    m.guest.boot();
    const UniqueFd fd = m.open(7);
    const UniqueFd accepted = m.accept_from_guest(1234, 80);
    Call waiting = m.connect(4999);
    m.guest.expect(PacketOp::request);
    Call refused = m.connect(4998);
    m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::rst);
    m.device.reset();
    CHECK(waiting.wait().status == MVM_ERR_CANCELLED);
    CHECK(refused.wait().status == MVM_ERR_CANCELLED);
    CHECK(ends(fd.get()));
    CHECK(ends(accepted.get()));
  }
  CHECK(open_fds() == before);
}

TEST_CASE("a connect whose answer nobody waits for leaves no file behind", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const size_t before = open_fds();
  for (int n = 0; n < 20; ++n) {
    m.device->connect(7, patience, FdCompletion([](mvm_status, UniqueFd, Bytes) {}));
    const Packet request = m.guest.expect(PacketOp::request);
    m.guest.answer(request.header, PacketOp::response);
    while (m.guest.receive().header.op != PacketOp::shutdown) {
    }
    m.guest.answer(request.header, PacketOp::rst);
  }
  m.open(7);  // by now the last one is gone
  m.guest.receive();
  CHECK(open_fds() <= before + 1);
}

// ---- pause and reset

TEST_CASE("a pause keeps the streams, and what was written meanwhile comes afterwards", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.device->set_paused(true);
  m.guest.stop();
  write_all(fd.get(), "while you slept");
  Call call = m.connect(8, milliseconds(0));  // waits: a paused guest refuses nobody
  m.guest.start();
  m.device->set_paused(false);
  std::vector<Packet> packets{m.guest.receive(), m.guest.receive()};
  if (packets[0].header.op == PacketOp::rw) std::swap(packets[0], packets[1]);
  CHECK(packets[0].header.op == PacketOp::request);
  CHECK(packets[1].data == "while you slept");
  m.guest.answer(packets[0].header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
  m.guest.answer(request, PacketOp::rw, 0, "thank you");
  CHECK(read_exactly(fd.get(), 9) == "thank you");
}

TEST_CASE("a pause between a connect and its answer does not disturb it", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  Call call = m.connect(7);
  const Packet request = m.guest.expect(PacketOp::request);
  m.guest.stop();
  m.guest.start();
  m.guest.answer(request.header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
}

TEST_CASE("a guest that is paused for too long has not refused", "[qemu][vsock]") {
  qemu::VsockLimits limits;
  limits.answer_timeout = milliseconds(30);
  Machine m(limits);
  m.guest.boot();
  m.device->set_paused(true);
  m.guest.stop();
  const Outcome outcome = m.connect(7, milliseconds(0)).wait();
  CHECK(outcome.status == MVM_ERR_DEADLINE);
  CHECK(outcome.error == "vsock port 7: the guest was paused, and did not go on within 30 ms");
}

TEST_CASE("a driver that starts anew ends all streams, and open connects are tried again", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  Call call = m.connect(8);
  m.guest.expect(PacketOp::request);
  Call once = m.connect(9, milliseconds(0));
  m.guest.expect(PacketOp::request);
  m.guest.stop();
  m.guest.restart_driver();
  m.guest.start();
  CHECK(ends(fd.get()));
  CHECK(once.wait().error == "vsock port 9: the guest was reset");
  m.guest.fill_rx();
  m.guest.answer(m.guest.expect(PacketOp::request).header, PacketOp::response);
  CHECK(call.wait().status == MVM_OK);
}

TEST_CASE("a reset that QMP tells of ends all streams at once", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  m.guest.stop();
  m.device->drop_connections();
  CHECK(ends(fd.get()));
}

TEST_CASE("QEMU may move the memory and replace the eventfds while streams are open", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.share_memory();  // mapped anew, and the rings found in it again
  write_all(fd.get(), "hello");
  CHECK(m.guest.expect(PacketOp::rw).data == "hello");
  for (int n = 0; n < 3; ++n) {
    m.guest.stop();
    m.guest.start();
    m.guest.answer(request, PacketOp::rw, 0, "again");
    CHECK(read_exactly(fd.get(), 5) == "again");
  }
}

// ---- credit

TEST_CASE("no more is sent than the guest has room for; it is asked once, and its answer goes on", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  m.guest.buf_alloc = 10;
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  write_all(fd.get(), "0123456789abcdefghijABC");
  CHECK(m.guest.expect(PacketOp::rw).data == "0123456789");
  m.guest.expect(PacketOp::credit_request);
  m.guest.fwd_cnt = 10;
  m.guest.answer(request, PacketOp::credit_update);
  CHECK(m.guest.expect(PacketOp::rw).data == "abcdefghij");
  m.guest.expect(PacketOp::credit_request);
  m.guest.fwd_cnt = 20;
  m.guest.answer(request, PacketOp::credit_update);
  CHECK(m.guest.expect(PacketOp::rw).data == "ABC");
}

TEST_CASE("a guest that takes back its room gets nothing until it has some", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  write_all(fd.get(), "12345");
  CHECK(m.guest.expect(PacketOp::rw).data == "12345");
  m.guest.buf_alloc = 3;  // less than is under way
  m.guest.answer(request, PacketOp::credit_request);
  m.guest.expect(PacketOp::credit_update);  // it has heard
  write_all(fd.get(), "678");
  m.guest.expect(PacketOp::credit_request);
  m.guest.fwd_cnt = 5;
  m.guest.answer(request, PacketOp::credit_update);
  CHECK(m.guest.expect(PacketOp::rw).data == "678");
}

TEST_CASE("the guest is told of room when half of it was freed, and when it asks", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  m.guest.answer(request, PacketOp::credit_request);
  const Packet first = m.guest.expect(PacketOp::credit_update);
  CHECK(first.header.fwd_cnt == 0);
  CHECK(first.header.buf_alloc == 256 * 1024);
  m.guest.answer(request, PacketOp::rw, 0, std::string(64 * 1024, 'a'));
  m.guest.answer(request, PacketOp::rw, 0, std::string(64 * 1024, 'b'));
  CHECK(m.guest.expect(PacketOp::credit_update).header.fwd_cnt == 128 * 1024);
  CHECK(read_exactly(fd.get(), 128 * 1024).back() == 'b');
}

TEST_CASE("a guest that sends more than it has credit for is reset", "[qemu][vsock]") {
  qemu::VsockLimits limits;
  limits.buffer_bytes = limits.min_buffer_bytes = 64 * 1024;
  Machine m(limits);
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  Packet packet;
  for (int n = 0; n < 64 && packet.header.op != PacketOp::rst;
       ++n) {  // nobody reads: the socket fills, then the buffer
    m.guest.answer(request, PacketOp::rw, 0, std::string(60 * 1024, 'a'));
    if (const auto next = m.guest.try_receive()) packet = *next;
  }
  while (packet.header.op != PacketOp::rst) packet = m.guest.receive();
  CHECK(m.log->wait_for("the guest sent more than it had credit for"));
}

TEST_CASE("many connections are promised less room each", "[qemu][vsock]") {
  qemu::VsockLimits limits;
  limits.buffers_bytes = 1024 * 1024;
  Machine m(limits);
  m.guest.boot();
  PacketHeader first{}, last{};
  std::vector<UniqueFd> all;
  all.push_back(m.open(7, &first));
  for (int n = 0; n < 40; ++n) all.push_back(m.open(7, &last));
  CHECK(first.buf_alloc == 64 * 1024);
  CHECK(last.buf_alloc == 16 * 1024);
}

// ---- cost

TEST_CASE("a device with nothing to do sleeps", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  const UniqueFd fd = m.open(7);
  const UniqueFd accepted = m.accept_from_guest(1234, 80);
  m.guest.transmit(PacketOp::credit_request, 1234, 80);
  m.guest.expect(PacketOp::credit_update);
  CHECK(device_stays_asleep(milliseconds(300)));
}

TEST_CASE("a connect that waits for the driver wakes nobody up before its deadline", "[qemu][vsock]") {
  Machine m;
  Call call = m.connect(7);
  CHECK(device_stays_asleep(milliseconds(300)));
  CHECK(call.pending());
}

TEST_CASE("a stream that the guest does not read costs nothing while it is full", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  m.guest.buf_alloc = 10;
  UniqueFd fd = m.open(7);
  while (::send(fd.get(), "0123456789abcdef", 16, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  m.guest.expect(PacketOp::rw);
  m.guest.expect(PacketOp::credit_request);
  CHECK(device_stays_asleep(milliseconds(200)));
}

TEST_CASE("a guest that wants no interrupt gets none", "[qemu][vsock]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd fd = m.open(7, &request);
  while (m.guest.wait_for_interrupt(Queue::rx, milliseconds(0))) {
  }
  m.guest.ring(Queue::rx).set_no_interrupt(true);
  write_all(fd.get(), "quietly");
  std::optional<Packet> packet;
  for (const auto end = std::chrono::steady_clock::now() + patience;
       !packet && std::chrono::steady_clock::now() < end;) {
    packet = m.guest.try_receive();
  }
  REQUIRE(packet);
  CHECK(packet->data == "quietly");
  m.guest.answer(request, PacketOp::credit_request);  // comes later than an interrupt would have
  while (!m.guest.try_receive()) {
  }
  CHECK_FALSE(m.guest.wait_for_interrupt(Queue::rx, milliseconds(0)));
}
