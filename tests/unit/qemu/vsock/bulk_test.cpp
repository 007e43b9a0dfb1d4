// SPDX-License-Identifier: Apache-2.0
// Many bytes and many streams, with a guest that is honest.
#include <cctype>
#include <thread>

#include <sys/resource.h>
#include <sys/socket.h>

#include "guest_server.hpp"
#include "machine.hpp"
#include "support/catch.hpp"
#include "vsock/vsock_connection.hpp"

using namespace mvm;
using namespace mvm::test;

namespace {

UniqueFd open_stream(Machine& m, uint32_t port) {
  Outcome outcome = m.connect(port).wait();
  if (outcome.status != MVM_OK) throw std::runtime_error(outcome.error);
  return std::move(outcome.fd);
}

// Sends `bytes` through the guest's echo, and returns what came back.
std::string exchange(int fd, const std::string& bytes) {
  std::thread writer([&] {
    write_all(fd, bytes);
    end_writing(fd);
  });
  std::string back = read_to_end(fd);
  writer.join();
  return back;
}

// Until nothing more goes in for a while.
void fill(int fd) {
  const std::string piece(64 * 1024, 'x');
  for (int full = 0; full < 20;) {
    full = ::send(fd, piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ? 0 : full + 1;
    if (full > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

TEST_CASE("sixteen mebibytes go through the guest's echo at once and come back the same", "[qemu][vsock][bulk]") {
  Machine m;
  m.guest.boot();
  const GuestServer server(m.guest);
  std::vector<std::future<bool>> all;
  for (uint32_t n = 0; n < 16; ++n) {
    all.push_back(std::async(std::launch::async, [fd = open_stream(m, echo_port), n] {
      const std::string bytes = some_bytes(1 << 20, n);
      return exchange(fd.get(), bytes) == bytes;
    }));
  }
  for (auto& one : all) CHECK(one.get());
  CHECK(server.most_under_way() <= 256 * 1024);
}

TEST_CASE("a stream longer than the guest's room arrives whole, both ways", "[qemu][vsock][bulk]") {
  Machine m;
  m.guest.boot();
  m.guest.buf_alloc = 10'000;
  const GuestServer server(m.guest);
  const UniqueFd up = open_stream(m, discard_port);
  write_all(up.get(), some_bytes(3'000'000));
  end_writing(up.get());
  CHECK(read_to_end(up.get()) == "3000000\n");
  const UniqueFd down = open_stream(m, generate_port);
  CHECK((read_to_end(down.get()) == some_bytes(generated_bytes)));
}

TEST_CASE("counts of bytes may wrap around 2^32", "[qemu][vsock][bulk]") {
  qemu::Connection connection({1, 2}, 1000);
  PacketHeader heard{};
  heard.buf_alloc = 0x8000'0000;
  heard.fwd_cnt = 0;
  uint32_t sent = 0;
  for (int n = 0; n < 5; ++n) {  // 5 * 1 GiB
    connection.heard(heard);
    REQUIRE(connection.guest_room() == 0x8000'0000 - (sent - heard.fwd_cnt));
    connection.header(3, PacketOp::rw, 0x4000'0000);
    sent += 0x4000'0000;
    heard.fwd_cnt = sent - 0x1000;
    connection.heard(heard);
    CHECK(connection.guest_room() == 0x8000'0000 - 0x1000);
    connection.discard(0x4000'0000);
    CHECK(connection.owes_credit());
    CHECK(connection.header(3, PacketOp::credit_update).fwd_cnt == sent);
    CHECK_FALSE(connection.owes_credit());
  }
}

TEST_CASE("a guest that does not read one stream, and a host that does not read another, delay no third",
          "[qemu][vsock][bulk]") {
  Machine m;
  m.guest.boot();
  const GuestServer server(m.guest);
  const UniqueFd unread_by_guest = open_stream(m, stalled_port);
  fill(unread_by_guest.get());
  const UniqueFd unread_by_host = open_stream(m, generate_port);
  CHECK(read_exactly(unread_by_host.get(), 10) == some_bytes(10));
  const UniqueFd echo = open_stream(m, echo_port);
  const std::string bytes = some_bytes(1 << 20, 3);
  CHECK((exchange(echo.get(), bytes) == bytes));
  CHECK((read_to_end(unread_by_host.get()) == some_bytes(generated_bytes).substr(10)));
}

TEST_CASE("streams with much to send take turns", "[qemu][vsock][bulk]") {
  Machine m;
  m.guest.boot();
  PacketHeader request{};
  const UniqueFd big = m.open(7);
  const UniqueFd small = m.open(8, &request);
  m.guest.stop();
  write_all(big.get(), some_bytes(150'000));  // waits, with the other behind it
  write_all(small.get(), "me too");
  m.guest.start();
  size_t before = 0;
  while (true) {
    const Packet packet = m.guest.receive();
    if (packet.header.dst_port == 8) break;
    before += packet.data.size();
  }
  CHECK(before <= 64 * 1024);
}

TEST_CASE("thousands of streams live beside each other, and all end", "[qemu][vsock][bulk]") {
  raise_fd_limit();
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const size_t count = std::min<size_t>(4000, (limit.rlim_cur - 100) / 2);
  REQUIRE(count >= 1000);
  const size_t before = open_fds();
  {
    Machine m;
    m.guest.boot();
    const GuestServer server(m.guest);
    std::vector<Call> calls;
    for (size_t n = 0; n < count; ++n) calls.push_back(m.connect(echo_port));
    std::vector<UniqueFd> all;
    for (Call& call : calls) {
      Outcome outcome = call.wait();
      REQUIRE(outcome.status == MVM_OK);
      all.push_back(std::move(outcome.fd));
    }
    for (size_t n = 0; n < count; ++n) write_all(all[n].get(), "stream " + std::to_string(n) + "\n");
    for (size_t n = count; n-- > 0;) {
      const std::string line = "stream " + std::to_string(n) + "\n";
      CHECK(read_exactly(all[n].get(), line.size()) == line);
    }
    for (size_t n = 0; n < count; n += 2) all[n].reset();
    for (size_t n = 1; n < count; n += 2) end_writing(all[n].get());
    for (size_t n = 1; n < count; n += 2) CHECK(ends(all[n].get()));
  }
  CHECK(open_fds() == before);
}

TEST_CASE("streams that come and go leave nothing behind", "[qemu][vsock][bulk]") {
  Machine m;
  m.guest.boot();
  const GuestServer server(m.guest);
  open_stream(m, echo_port);
  const size_t before = open_fds();
  for (uint32_t n = 0; n < 500; ++n) {
    const UniqueFd fd = open_stream(m, echo_port);
    write_all(fd.get(), "x");
    if (n % 2 == 0) CHECK(read_exactly(fd.get(), 1) == "x");  // the others close with something unread, or under way
  }
  const UniqueFd last = open_stream(m, echo_port);
  CHECK((exchange(last.get(), "y") == "y"));
  CHECK(open_fds() <= before + 3);
}
