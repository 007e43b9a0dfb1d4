// SPDX-License-Identifier: Apache-2.0
#include "forward/relay.hpp"

#include <atomic>
#include <vector>

#include <fcntl.h>
#if defined(__APPLE__)
#include <malloc/malloc.h>
#elif defined(__GLIBC__)
#include <malloc.h>
#endif
#include <netinet/tcp.h>

#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

namespace {

// What this thread's allocator has given out; 0 where it does not say.
long live_bytes() {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  return static_cast<long>(::mallinfo2().uordblks);
#elif defined(__APPLE__)
  return static_cast<long>(::mstats().bytes_used);
#else
  return 0;
#endif
}

using Ended = Happening<RelayTotals>;

// near ends in the test's hands, far ends in the relay's.
struct Relayed {
  UniqueFd a;
  UniqueFd b;
};

Relayed relay_between(LoopThread& loop, SocketPair a, SocketPair b, Ended& ended, std::string first = {}) {
  Relayed out{std::move(a.near), std::move(b.near)};
  loop.run([&loop, &ended, &first, far_a = std::move(a.far), far_b = std::move(b.far)]() mutable {
    start_relay(loop.loop(), std::move(far_a), std::move(far_b), std::move(first),
                [&ended](RelayTotals totals) { ended.happen(totals); });
  });
  return out;
}

void reset(UniqueFd& fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  fd.reset();
}

void fill_at_once(int fd) {
  const std::string block(65536, 'f');
  while (::send(fd, block.data(), block.size(), MSG_DONTWAIT) > 0) continue;
}

void drain_at_once(int fd, boost::asio::io_context& loop) {
  std::string block(65536, '\0');
  do {
    while (::recv(fd, block.data(), block.size(), MSG_DONTWAIT) > 0) continue;
  } while (loop.poll() > 0);
}

bool is_closed(int fd) { return ::fcntl(fd, F_GETFD) == -1 && errno == EBADF; }

}  // namespace

TEST_CASE("a relay carries 1 MiB both ways at once without changing a byte") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, tcp_pair(), unix_pair(), ended);
  const std::string there = pattern(1 << 20, 1);
  const std::string back = pattern((1 << 20) + 4321, 2);
  std::string got_a;
  std::string got_b;
  std::thread send_a([&] { send_all(ends.a.get(), there); });
  std::thread send_b([&] { send_all(ends.b.get(), back); });
  std::thread read_b([&] { got_b = receive(ends.b.get(), there.size()); });
  got_a = receive(ends.a.get(), back.size());
  send_a.join();
  send_b.join();
  read_b.join();
  CHECK(got_a == back);
  CHECK(got_b == there);
  ends.a.reset();
  ends.b.reset();
  const RelayTotals totals = ended.wait();
  CHECK(totals.bytes_a_to_b == there.size());
  CHECK(totals.bytes_b_to_a == back.size());
}

TEST_CASE("the end of one direction is passed on and the other direction goes on") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, tcp_pair(), unix_pair(), ended);

  SECTION("ended by a first") {
    send_all(ends.a.get(), "request");
    ::shutdown(ends.a.get(), SHUT_WR);
    CHECK(receive_to_end(ends.b.get()) == "request");
    send_all(ends.b.get(), "a long answer");
    CHECK(receive(ends.a.get(), 13) == "a long answer");
    CHECK(ended.count() == 0);
    ends.b.reset();
    CHECK(receive_to_end(ends.a.get()).empty());
  }
  SECTION("ended by b first") {
    send_all(ends.b.get(), "greeting");
    ::shutdown(ends.b.get(), SHUT_WR);
    CHECK(receive_to_end(ends.a.get()) == "greeting");
    send_all(ends.a.get(), "still talking");
    CHECK(receive(ends.b.get(), 13) == "still talking");
    CHECK(ended.count() == 0);
    ::shutdown(ends.a.get(), SHUT_WR);
    CHECK(receive_to_end(ends.b.get()).empty());
  }
  ended.wait();
  CHECK(ended.count() == 1);
}

TEST_CASE("an end that comes while the other side does not read waits for the bytes before it") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, unix_pair(), unix_pair(), ended);
  const std::string bytes = pattern(4 << 20, 3);
  std::thread sender([&] {
    send_all(ends.a.get(), bytes);
    ::shutdown(ends.a.get(), SHUT_WR);
  });
  const std::string got = receive_to_end(ends.b.get());
  sender.join();
  CHECK(got == bytes);
}

TEST_CASE("bytes that came before the relay began arrive first") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, unix_pair(), unix_pair(), ended, "early ");
  send_all(ends.a.get(), "late");
  CHECK(receive(ends.b.get(), 10) == "early late");
}

TEST_CASE("a reader that stalls holds up its own direction only") {
  Ended ended;
  Ended other_ended;
  LoopThread loop;
  Relayed stuck = relay_between(loop, tcp_pair(), unix_pair(), ended);
  Relayed other = relay_between(loop, tcp_pair(), unix_pair(), other_ended);
  const size_t swallowed = fill(stuck.a.get());
  CHECK(swallowed < 64U << 20);

  SECTION("its other direction flows") {
    send_all(stuck.b.get(), "news");
    CHECK(receive(stuck.a.get(), 4) == "news");
  }
  SECTION("other relays flow") {
    for (int i = 0; i < 100; ++i) {
      send_all(other.a.get(), "ping");
      REQUIRE(receive(other.b.get(), 4) == "ping");
    }
  }
  SECTION("it goes on when the reader does") {
    CHECK(receive(stuck.b.get(), swallowed) == std::string(swallowed, 'f'));
    send_all(stuck.a.get(), "after");
    CHECK(receive(stuck.b.get(), 5) == "after");
  }
}

TEST_CASE("a connection in full flow leaves the others their turn") {
  Ended ended;
  Ended other_ended;
  LoopThread loop;
  Relayed busy = relay_between(loop, unix_pair(), unix_pair(), ended);
  Relayed other = relay_between(loop, unix_pair(), unix_pair(), other_ended);
  std::atomic<bool> stop{false};
  Happening<int> flows;
  std::thread source([&] {
    const std::string block(65536, 's');
    while (!stop) send_all(busy.a.get(), block);
    ::shutdown(busy.a.get(), SHUT_WR);
  });
  std::thread sink([&] {
    char buffer[65536];
    while (::recv(busy.b.get(), buffer, sizeof(buffer), 0) > 0) flows.happen(0);
  });
  flows.wait();
  for (int i = 0; i < 200; ++i) {
    send_all(other.a.get(), "x");
    REQUIRE(receive(other.b.get(), 1) == "x");
  }
  stop = true;
  source.join();
  sink.join();
}

TEST_CASE("a reset is passed on to the other side as a reset") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, tcp_pair(), tcp_pair(), ended);
  SECTION("from a") {
    send_all(ends.b.get(), "unread");
    reset(ends.a);
    CHECK(how_it_ends(ends.b.get()) == ECONNRESET);
  }
  SECTION("from b") {
    reset(ends.b);
    CHECK(how_it_ends(ends.a.get()) == ECONNRESET);
  }
  SECTION("from b, after it had ended its direction") {
    ::shutdown(ends.b.get(), SHUT_WR);
    CHECK(receive_to_end(ends.a.get()).empty());
    reset(ends.b);
    // Seen by the relay as soon as it sends.
    for (int i = 0; i < 1000 && ended.count() == 0; ++i) {
      if (::send(ends.a.get(), "x", 1, 0) < 0) break;
    }
  }
  ended.wait();
  CHECK(ended.count() == 1);
}

TEST_CASE("a client that resets while the other side is stuck is noticed") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, tcp_pair(), unix_pair(), ended);
  fill(ends.a.get());
  reset(ends.a);
  ended.wait();
  how_it_ends(ends.b.get());
}

TEST_CASE("an answer that is given before all of the request was read still arrives") {
  Ended ended;
  LoopThread loop;
  Relayed ends = relay_between(loop, tcp_pair(), unix_pair(), ended);
  fill(ends.a.get());
  send_all(ends.b.get(), "413 too large");
  ends.b.reset();
  CHECK(receive(ends.a.get(), 13) == "413 too large");
  ended.wait();
}

TEST_CASE("both descriptors are closed when the relay has ended") {
  Ended ended;
  LoopThread loop;
  SocketPair a = unix_pair();
  SocketPair b = unix_pair();
  const int fd_a = a.far.get();
  const int fd_b = b.far.get();
  Relayed ends = relay_between(loop, std::move(a), std::move(b), ended);
  ::shutdown(ends.a.get(), SHUT_WR);
  ::shutdown(ends.b.get(), SHUT_WR);
  ended.wait();
  CHECK(is_closed(fd_a));
  CHECK(is_closed(fd_b));
}

TEST_CASE("a descriptor that is no socket ends the relay and nothing else") {
  Ended ended;
  LoopThread loop;
  SocketPair b = unix_pair();
  UniqueFd file(::open("/dev/null", O_RDWR | O_CLOEXEC));
  loop.run([&] {
    start_relay(loop.loop(), std::move(file), std::move(b.far), {}, [&](RelayTotals t) { ended.happen(t); });
    CHECK(ended.count() == 0);
  });
  ended.wait();
  how_it_ends(b.near.get());
}

TEST_CASE("a loop that is destroyed takes its relays and their descriptors with it") {
  SocketPair a = unix_pair();
  SocketPair b = unix_pair();
  SocketPair c = unix_pair();
  SocketPair d = unix_pair();
  bool told = false;
  {
    boost::asio::io_context loop(1);
    start_relay(loop, std::move(a.far), std::move(b.far), {}, [&](RelayTotals) { told = true; });
    start_relay(loop, std::move(c.far), std::move(d.far), "not delivered", [&](RelayTotals) { told = true; });
    loop.poll();
    fill(a.near.get());
    loop.poll();
  }
  CHECK_FALSE(told);
  how_it_ends(a.near.get());
  CHECK(receive_to_end(b.near.get()).size() > 0);
  CHECK(receive_to_end(d.near.get()) == "not delivered");
}

TEST_CASE("1000 relays that were busy and are idle again hold less than 2 KiB each") {
  constexpr size_t count = 1000;
  boost::asio::io_context loop(1);
  size_t ended = 0;
  std::vector<UniqueFd> ends;
  const long before = live_bytes();
  for (size_t i = 0; i < count; ++i) {
    SocketPair a = unix_pair();
    SocketPair b = unix_pair();
    start_relay(loop, std::move(a.far), std::move(b.far), {}, [&ended](RelayTotals) { ++ended; });
    // More than b's buffer takes, so that some has to be kept meanwhile.
    fill_at_once(a.near.get());
    loop.poll();
    drain_at_once(b.near.get(), loop);
    ends.push_back(std::move(a.near));
    ends.push_back(std::move(b.near));
  }
  const long after = live_bytes();
  INFO("bytes per relay: " << (after - before) / static_cast<long>(count));
  CHECK(after - before < static_cast<long>(count) * 2048);
  ends.clear();
  while (ended < count) REQUIRE(loop.run_one_for(deadline) == 1);
}
