// SPDX-License-Identifier: Apache-2.0
#include "control/channel.hpp"

#include <chrono>

#include <sys/socket.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::host;

namespace {

struct End {
  std::shared_ptr<Channel> channel;
  std::vector<std::string> messages;
  bool closed = false;
};

void open_end(End& end, boost::asio::io_context& loop, UniqueFd fd) {
  end.channel = Channel::open(
      loop, std::move(fd), [&end](Channel&, std::string_view bytes) { end.messages.emplace_back(bytes); },
      [&end](Channel&) { end.closed = true; });
}

template <class Done>
bool run_until(boost::asio::io_context& loop, Done done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!done() && std::chrono::steady_clock::now() < deadline) {
    loop.restart();
    loop.run_one_until(deadline);
  }
  return done();
}

struct Pair {
  boost::asio::io_context loop{1};
  End a;
  End b;
  Pair() {
    auto [one, two] = socket_pair();
    open_end(a, loop, std::move(one));
    open_end(b, loop, std::move(two));
  }
};

}  // namespace

TEST_CASE("messages arrive whole and in order, the empty one too") {
  Pair p;
  p.a.channel->send("one");
  p.a.channel->send("");
  p.a.channel->send(std::string(300'000, 'x'));
  REQUIRE(run_until(p.loop, [&] { return p.b.messages.size() == 3; }));
  CHECK(p.b.messages[0] == "one");
  CHECK(p.b.messages[1].empty());
  CHECK(p.b.messages[2] == std::string(300'000, 'x'));
}

TEST_CASE("an fd travels with its message and is close-on-exec at the other end") {
  Pair p;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  p.a.channel->send("without");
  p.a.channel->send("with", UniqueFd(ends[0]));
  p.a.channel->send("without again");
  REQUIRE(run_until(p.loop, [&] { return p.b.messages.size() == 3; }));
  const UniqueFd got = p.b.channel->take_fd();
  REQUIRE(got);
  CHECK_FALSE(p.b.channel->take_fd());
  CHECK((::fcntl(got.get(), F_GETFD) & FD_CLOEXEC) != 0);
  REQUIRE(::write(ends[1], "hi", 2) == 2);
  char buffer[8];
  CHECK(::read(got.get(), buffer, sizeof buffer) == 2);
  ::close(ends[1]);
}

TEST_CASE("a length beyond the bound closes the channel instead of being waited for") {
  boost::asio::io_context loop(1);
  End end;
  auto [ours, theirs] = socket_pair();
  open_end(end, loop, std::move(ours));
  REQUIRE(::send(theirs.get(), "\xff\xff\xff\xff", 4, 0) == 4);
  CHECK(run_until(loop, [&] { return end.closed; }));
  CHECK(end.messages.empty());
}

TEST_CASE("a peer that never reads is closed at a bounded number of unsent bytes") {
  boost::asio::io_context loop(1);
  End end;
  auto [ours, theirs] = socket_pair();
  open_end(end, loop, std::move(ours));
  for (int i = 0; i < 10; ++i) end.channel->send(std::string(1'000'000, 'x'));
  CHECK(run_until(loop, [&] { return end.closed; }));
}

TEST_CASE("the peer's end is told once, and sending after it does nothing") {
  Pair p;
  p.a.channel->close();
  REQUIRE(run_until(p.loop, [&] { return p.a.closed && p.b.closed; }));
  p.b.channel->send("late");
  CHECK(p.a.messages.empty());
}

TEST_CASE("closing when sent delivers what was queued before it") {
  Pair p;
  p.a.channel->send(std::string(900'000, 'y'));
  p.a.channel->close_when_sent();
  REQUIRE(run_until(p.loop, [&] { return p.b.closed; }));
  REQUIRE(p.b.messages.size() == 1);
  CHECK(p.b.messages[0].size() == 900'000);
}

TEST_CASE("fds that nobody takes are bounded: a peer that floods them is closed") {
  boost::asio::io_context loop(1);
  End end;
  End other;
  auto [ours, theirs] = socket_pair();
  open_end(end, loop, std::move(ours));
  open_end(other, loop, std::move(theirs));
  for (int i = 0; i < 40; ++i) other.channel->send("x", UniqueFd(::dup(0)));
  CHECK(run_until(loop, [&] { return end.closed; }));
}
