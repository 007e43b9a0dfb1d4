// SPDX-License-Identifier: Apache-2.0
// Floods: what comes from TCP so fast that it is spliced, where the system can.
#include <csignal>

#include <fcntl.h>
#include <sys/resource.h>

#include "forward/relay.hpp"
#include "forward/sockets.hpp"
#include "forward/splice_pipe.hpp"
#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

namespace {

constexpr size_t flood_bytes = 16 << 20;

// From a TCP client to a guest's Unix socket.
struct Flooded {
  explicit Flooded(LoopThread& loop) {
    ::signal(SIGPIPE, SIG_IGN);  // as main.cpp has it
    SocketPair a = tcp_pair();
    SocketPair b = unix_pair();
    // A bound of its own: newer kernels let a receive buffer grow to 32 MiB, and the flood would drown in it.
    const int receive_bytes = 1 << 20;
    ::setsockopt(a.far.get(), SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    client = std::move(a.near);
    guest = std::move(b.near);
    loop.run([&, a = std::move(a.far), b = std::move(b.far)]() mutable {
      start_relay(
          loop.loop(), std::move(a), std::move(b), {}, [ended = ended](RelayTotals totals) { ended->happen(totals); },
          sum);
    });
  }

  UniqueFd client;
  UniqueFd guest;
  // The relay may end after the test has.
  std::shared_ptr<Happening<RelayTotals>> ended = std::make_shared<Happening<RelayTotals>>();
  std::shared_ptr<RelayTotals> sum = std::make_shared<RelayTotals>();
};

}  // namespace

TEST_CASE("a flood arrives whole, its end after it, and the answer after that") {
  LoopThread loop;
  Flooded relay(loop);
  const std::string flood = pattern(flood_bytes, 1);
  std::thread sender([&] {
    send_all(relay.client.get(), flood);
    ::shutdown(relay.client.get(), SHUT_WR);
  });
  const std::string got = receive_to_end(relay.guest.get());
  sender.join();
  CHECK(got.size() == flood.size());
  CHECK((got == flood));
  send_all(relay.guest.get(), "thanks");
  CHECK(receive(relay.client.get(), 6) == "thanks");
  relay.guest.reset();
  const RelayTotals totals = relay.ended->wait();
  CHECK(totals.bytes_a_to_b == flood_bytes);
  CHECK(totals.bytes_b_to_a == 6);
  CHECK(loop.run([&] { return relay.sum->bytes_a_to_b; }) == flood_bytes);
}

TEST_CASE("a flood into a guest that stops reading stops, and arrives whole when it reads again") {
  LoopThread loop;
  Flooded relay(loop);
  const std::string flood = pattern(flood_bytes, 2);
  Happening<int> sent;
  std::thread sender([&] {
    send_all(relay.client.get(), flood);
    ::shutdown(relay.client.get(), SHUT_WR);
    sent.happen(1);
  });
  CHECK(receive(relay.guest.get(), 1 << 20) == flood.substr(0, 1 << 20));
  // The other direction is not held up by it, and the loop is free.
  send_all(relay.guest.get(), "still here");
  CHECK(receive(relay.client.get(), 10) == "still here");
  CHECK(sent.count() == 0);
  const std::string rest = receive_to_end(relay.guest.get());
  sender.join();
  CHECK((rest == flood.substr(1 << 20)));
}

TEST_CASE("a client that resets in the midst of a flood ends the guest's connection") {
  LoopThread loop;
  Flooded relay(loop);
  fill(relay.client.get());
  const linger at_once{1, 0};
  ::setsockopt(relay.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  relay.client.reset();
  how_it_ends(relay.guest.get());
  relay.ended->wait();
  SUCCEED();
}

TEST_CASE("a guest that goes in the midst of a flood ends the client's connection") {
  LoopThread loop;
  Flooded relay(loop);
  const std::string flood = pattern(flood_bytes, 3);
  std::thread sender([&] {
    size_t sent = 0;
    while (sent < flood.size()) {
      const ssize_t n = ::send(relay.client.get(), flood.data() + sent, flood.size() - sent, 0);
      if (n <= 0) return;
      sent += static_cast<size_t>(n);
    }
  });
  CHECK(receive(relay.guest.get(), 1 << 20) == flood.substr(0, 1 << 20));
  relay.guest.reset();
  sender.join();
  how_it_ends(relay.client.get());
  relay.ended->wait();
  SUCCEED();
}

TEST_CASE("floods and single words in turn arrive whole and in order") {
  LoopThread loop;
  Flooded relay(loop);
  std::string all;
  for (uint32_t turn = 0; turn < 8; ++turn) all += pattern(2 << 20, turn) + "word";
  std::thread sender([&] {
    const size_t with_word = (2 << 20) + 4;
    for (size_t at = 0; at < all.size(); at += with_word) {
      send_all(relay.client.get(), all.substr(at, with_word - 4));
      send_all(relay.client.get(), all.substr(at + with_word - 4, 4));
      // Its answer: the relay has nothing left to read, and is at rest.
      must(receive(relay.client.get(), 2) == "ok");
    }
    ::shutdown(relay.client.get(), SHUT_WR);
  });
  std::string got;
  for (int turn = 0; turn < 8; ++turn) {
    got += receive(relay.guest.get(), (2 << 20) + 4);
    send_all(relay.guest.get(), "ok");
  }
  CHECK(receive_to_end(relay.guest.get()).empty());
  sender.join();
  CHECK((got == all));
}

TEST_CASE("a flood from the guest stops while the client does not read, and what is kept of it is bounded") {
  LoopThread loop;
  Flooded relay(loop);
  const size_t swallowed = fill(relay.guest.get());
  const uint64_t passed_on = loop.run([&] { return relay.sum->bytes_b_to_a; });
  // What lies in the guest's own socket is not the relay's.
  int in_socket = 0;
  socklen_t size = sizeof in_socket;
  REQUIRE(::getsockopt(relay.guest.get(), SOL_SOCKET, SO_SNDBUF, &in_socket, &size) == 0);
  CHECK(swallowed >= passed_on);
  // Linux lets one packet, of half its size, beyond it.
  CHECK(swallowed - passed_on <= (256U << 10) + 2 * static_cast<size_t>(in_socket));
  const std::string got = receive(relay.client.get(), swallowed);
  CHECK((got == std::string(swallowed, 'f')));
}

TEST_CASE("a flood is copied without a free descriptor for a pipe") {
  LoopThread loop;
  Flooded relay(loop);
  const std::string flood = pattern(flood_bytes, 4);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const bool no_pipe = SplicePipe::open() == nullptr;
  std::thread sender([&] {
    send_all(relay.client.get(), flood);
    ::shutdown(relay.client.get(), SHUT_WR);
  });
  const std::string got = receive_to_end(relay.guest.get());
  sender.join();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(no_pipe);
  CHECK((got == flood));
}

TEST_CASE("what a pipe holds can be read out of it for a socket that takes no splice") {
  auto pipe = SplicePipe::open();
  if (!pipe) {
    SUCCEED("this system has no splice");
    return;
  }
  SocketPair tcp = tcp_pair();
  send_all(tcp.near.get(), "held");
  CHECK(pipe->fill(tcp.far.get()) == 4);
  CHECK(pipe->held_bytes() == 4);
  UniqueFd file(::open("/dev/null", O_RDONLY));
  CHECK(pipe->drain(file.get()) == -1);
  CHECK(pipe->read_out() == "held");
  CHECK(pipe->held_bytes() == 0);
}

TEST_CASE("pipes are used again, but none that holds another's bytes") {
  SplicePipes pipes;
  auto first = pipes.take();
  if (!first) {
    SUCCEED("this system has no splice");
    return;
  }
  const SplicePipe* const was = first.get();
  pipes.give_back(std::move(first));
  auto again = pipes.take();
  CHECK(again.get() == was);
  SocketPair tcp = tcp_pair();
  send_all(tcp.near.get(), "mine");
  CHECK(again->fill(tcp.far.get()) == 4);
  pipes.give_back(std::move(again));
  CHECK(pipes.take()->held_bytes() == 0);
}
