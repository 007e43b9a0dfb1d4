// SPDX-License-Identifier: Apache-2.0
#include "forward/port_forwarder.hpp"

#include <algorithm>
#include <array>
#include <future>
#include <latch>
#include <optional>
#include <vector>

#include <netinet/tcp.h>
#include <sys/resource.h>

#include "base/log.hpp"
#include "forward/listener.hpp"
#include "unit/base/temp_dir.hpp"
#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

namespace {

// A port that was free a moment ago.
uint16_t free_port() { return port_of(tcp_listener().get()); }

std::string bind_error(const std::string& address, uint16_t port) {
  boost::asio::io_context loop(1);
  const auto forwarder = PortForwarder::bind(loop, address, port, 80);
  REQUIRE_FALSE(forwarder);
  CHECK(forwarder.error().kind == ErrorKind::failed);
  return forwarder.error().message;
}

// A guest whose every connection is handed to the test.
class Guest {
 public:
  GuestConnector connector() {
    return [this](uint32_t port, std::chrono::milliseconds, std::function<void(Result<UniqueFd>)> done) {
      if (refuse) return done(fail(ErrorKind::failed, "mock 0.1.0: vsock_connect: nobody listens"));
      SocketPair pair = unix_pair();
      {
        const std::lock_guard lock(mutex_);
        ends_.push_back(std::move(pair.near));
      }
      ports_.happen(port);
      done(std::move(pair.far));
    };
  }
  uint32_t wait_for_port(int times = 1) { return ports_.wait(times); }
  int connections() { return ports_.count(); }
  UniqueFd take() {
    const std::lock_guard lock(mutex_);
    UniqueFd fd = std::move(ends_.front());
    ends_.erase(ends_.begin());
    return fd;
  }

  bool refuse = false;

 private:
  Happening<uint32_t> ports_;
  std::mutex mutex_;
  std::vector<UniqueFd> ends_;
};

struct Published {
  explicit Published(LoopThread& thread, Guest& guest, const std::string& address = "127.0.0.1")
      : loop(thread), port(free_port()) {
    loop.run([&] {
      auto bound = PortForwarder::bind(loop.loop(), address, port, 80);
      INFO((bound ? std::string() : bound.error().message));
      REQUIRE(bound);
      forwarder = std::move(*bound);
      forwarder->start(guest.connector());
    });
  }
  ~Published() {
    loop.run([&] { forwarder.reset(); });
  }
  Published(const Published&) = delete;
  Published& operator=(const Published&) = delete;

  LoopThread& loop;
  uint16_t port;
  std::unique_ptr<PortForwarder> forwarder;
};

}  // namespace

TEST_CASE("a client of a published port reaches the guest's vsock port 10000 higher") {
  Guest guest;
  LoopThread loop;
  Published published(loop, guest);
  UniqueFd client = tcp_connect(published.port);
  CHECK(guest.wait_for_port() == 10080);
  UniqueFd inside = guest.take();
  send_all(client.get(), "GET /");
  CHECK(receive(inside.get(), 5) == "GET /");
  send_all(inside.get(), "200 OK");
  CHECK(receive(client.get(), 6) == "200 OK");
  ::shutdown(client.get(), SHUT_WR);
  CHECK(receive_to_end(inside.get()).empty());
}

TEST_CASE("a port is published on IPv6 beside IPv4 at the same number") {
  Guest guest;
  LoopThread loop;
  const uint16_t port = free_port();
  loop.run([&] {
    auto four = PortForwarder::bind(loop.loop(), "0.0.0.0", port, 80);
    CHECK(four);
    auto six = PortForwarder::bind(loop.loop(), "::", port, 80);
    if (!six && six.error().message.find("has no IPv6") != std::string::npos) {
      SUCCEED("this machine has no IPv6");
    } else {
      INFO((six ? std::string() : six.error().message));
      CHECK(six);
    }
  });
}

TEST_CASE("connections to a port that is bound and not yet started wait, and are served then") {
  Guest guest;
  LoopThread loop;
  const uint16_t port = free_port();
  std::unique_ptr<PortForwarder> forwarder;
  loop.run([&] { forwarder = *PortForwarder::bind(loop.loop(), "127.0.0.1", port, 80); });
  UniqueFd client = tcp_connect(port);
  send_all(client.get(), "early");
  CHECK(guest.connections() == 0);
  loop.run([&] { forwarder->start(guest.connector()); });
  guest.wait_for_port();
  UniqueFd inside = guest.take();
  CHECK(receive(inside.get(), 5) == "early");
  loop.run([&] { forwarder.reset(); });
}

TEST_CASE("a port that is in use, not ours or not permitted fails by name") {
  const UniqueFd taken = tcp_listener();
  const uint16_t port = port_of(taken.get());
  CHECK(bind_error("127.0.0.1", port) ==
        mvm::host::formatted(
            "--publish 127.0.0.1:{0}:80: port {0} of 127.0.0.1 is in use by another program or VM; publish "
            "another host port, or end what listens there",
            port));
  CHECK(bind_error("192.0.2.1", 8080) ==
        "--publish 192.0.2.1:8080:80: 192.0.2.1 is not an address of this machine; use one that is, or 0.0.0.0 for all "
        "of them");
  CHECK_THAT(bind_error("2001:db8::1", 8080), StartsWith("--publish [2001:db8::1]:8080:80: "));
}

TEST_CASE("a privileged port without the privilege is refused with the reason") {
  if (::geteuid() == 0) {
    SUCCEED("root may bind any port");
    return;
  }
  boost::asio::io_context loop(1);
  const auto forwarder = PortForwarder::bind(loop, "127.0.0.1", 1, 80);
  if (forwarder) {
    SUCCEED("this system lets everybody bind port 1");
    return;
  }
  CHECK(forwarder.error().message ==
        "--publish 127.0.0.1:1:80: port 1 may not be used: ports below 1024 take privileges; publish one from 1024 on");
}

TEST_CASE("an address that is not numeric is refused") {
  boost::asio::io_context loop(1);
  const auto forwarder = PortForwarder::bind(loop, "localhost", 8080, 80);
  REQUIRE_FALSE(forwarder);
  CHECK(forwarder.error().kind == ErrorKind::invalid);
}

TEST_CASE("a guest port that isn't served closes the client at once and is logged with the reason") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "log", log::Level::info, false));
  Guest guest;
  guest.refuse = true;
  LoopThread loop;
  Published published(loop, guest);
  UniqueFd client = tcp_connect(published.port);
  CHECK(how_it_ends(client.get()) == 0);
  CHECK_THAT(slurp(dir / "log"), ContainsSubstring(mvm::host::formatted(
                                     "--publish 127.0.0.1:{}:80: guest port 10080: mock 0.1.0: vsock_connect: "
                                     "nobody listens; the client was closed",
                                     published.port)));
  UniqueFd next = tcp_connect(published.port);
  CHECK(how_it_ends(next.get()) == 0);
}

TEST_CASE("a guest that is slow to answer one client does not delay the next") {
  LoopThread loop;
  const uint16_t port = free_port();
  Happening<int> asked;
  std::vector<std::function<void(Result<UniqueFd>)>> waiting;
  SocketPair second = unix_pair();
  std::unique_ptr<PortForwarder> forwarder;
  loop.run([&] {
    forwarder = *PortForwarder::bind(loop.loop(), "127.0.0.1", port, 80);
    forwarder->start([&](uint32_t, std::chrono::milliseconds, std::function<void(Result<UniqueFd>)> done) {
      const bool first = waiting.empty();
      waiting.push_back(done);
      if (!first) done(std::move(second.far));
      asked.happen(0);
    });
  });
  UniqueFd stuck = tcp_connect(port);
  asked.wait();
  UniqueFd client = tcp_connect(port);
  send_all(client.get(), "quick");
  CHECK(receive(second.near.get(), 5) == "quick");
  loop.run([&] {
    waiting.front()(fail(ErrorKind::deadline, "gave up"));
    forwarder.reset();
    waiting.clear();
  });
  CHECK(how_it_ends(stuck.get()) == 0);
}

TEST_CASE("connections go on when their port is no longer published") {
  Guest guest;
  LoopThread loop;
  std::optional<Published> published(std::in_place, loop, guest);
  UniqueFd client = tcp_connect(published->port);
  guest.wait_for_port();
  UniqueFd inside = guest.take();
  published.reset();
  send_all(client.get(), "still here");
  CHECK(receive(inside.get(), 10) == "still here");
}

TEST_CASE("a client's socket is sent without delay") {
  LoopThread loop;
  const uint16_t port = free_port();
  std::unique_ptr<PortForwarder> forwarder;
  SocketPair guest = tcp_pair();
  const int far = guest.far.get();
  loop.run([&] {
    forwarder = *PortForwarder::bind(loop.loop(), "127.0.0.1", port, 80);
    forwarder->start([&](uint32_t, std::chrono::milliseconds, std::function<void(Result<UniqueFd>)> done) {
      done(std::move(guest.far));
    });
  });
  UniqueFd client = tcp_connect(port);
  send_all(client.get(), "x");
  CHECK(receive(guest.near.get(), 1) == "x");
  int on = 0;
  socklen_t size = sizeof(on);
  REQUIRE(::getsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, &size) == 0);
  CHECK(on != 0);
  loop.run([&] { forwarder.reset(); });
}

TEST_CASE("being without free descriptors again and again is logged once in ten seconds, and clients are served") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "log", log::Level::info, false));
  Guest guest;
  LoopThread loop;
  Published published(loop, guest);
  for (int episode = 1; episode <= 3; ++episode) {
    UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
    set_deadline(client.get());
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none{0, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    const sockaddr_in address = loopback(published.port);
    const int connected = ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    // The loop has looked at its sockets since.
    for (int turn = 0; turn < 3; ++turn) loop.run([] {});
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(connected == 0);
    guest.wait_for_port(episode);
    UniqueFd inside = guest.take();
    send_all(client.get(), "at last");
    CHECK(receive(inside.get(), 7) == "at last");
  }
  const std::string text = slurp(dir / "log");
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
  CHECK_THAT(text, ContainsSubstring("cannot accept clients: ") && ContainsSubstring("accepts clients again"));
}

TEST_CASE("without free descriptors accepting backs off, says so once and recovers by itself") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "log", log::Level::info, false));
  Guest guest;
  LoopThread loop;
  Published published(loop, guest);
  UniqueFd client(::socket(AF_INET, SOCK_STREAM, 0));
  set_deadline(client.get());

  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const sockaddr_in address = loopback(published.port);
  const int connected = ::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  rusage start{};
  ::getrusage(RUSAGE_SELF, &start);
  // Some episodes of back-off pass; a loop that spins would burn all of this.
  std::this_thread::sleep_for(std::chrono::milliseconds(450));
  rusage end{};
  ::getrusage(RUSAGE_SELF, &end);
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);

  REQUIRE(connected == 0);
  const auto us = [](const timeval& t) { return static_cast<long>(t.tv_sec) * 1000000 + static_cast<long>(t.tv_usec); };
  CHECK(us(end.ru_utime) + us(end.ru_stime) - us(start.ru_utime) - us(start.ru_stime) < 200000);
  guest.wait_for_port();
  UniqueFd inside = guest.take();
  send_all(client.get(), "at last");
  CHECK(receive(inside.get(), 7) == "at last");

  const std::string text = slurp(dir / "log");
  const std::string line = mvm::host::formatted("--publish 127.0.0.1:{}:80: cannot accept clients: ", published.port);
  const size_t first = text.find(line);
  REQUIRE(first != std::string::npos);
  CHECK(text.find(line, first + 1) == std::string::npos);
  CHECK_THAT(text, ContainsSubstring("accepts clients again"));
}

TEST_CASE("at the limit of connections further clients wait until one ends, and the log says so") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "log", log::Level::info, false));
  LoopThread loop;
  UniqueFd listening = tcp_listener();
  const uint16_t port = port_of(listening.get());
  Happening<int> arrived;
  std::vector<std::pair<UniqueFd, std::function<void()>>> clients;
  std::shared_ptr<Listener> listener;
  loop.run([&] {
    prepare_socket(listening.get());
    listener = std::make_shared<Listener>(loop.loop(), std::move(listening), "--publish test", 2);
    listener->start([&](UniqueFd client, std::function<void()> gone) {
      clients.emplace_back(std::move(client), std::move(gone));
      arrived.happen(0);
    });
  });
  UniqueFd first = tcp_connect(port);
  UniqueFd second = tcp_connect(port);
  arrived.wait(2);
  UniqueFd third = tcp_connect(port);
  loop.run([] {});
  CHECK(arrived.count() == 2);
  loop.run([&] {
    clients.front().first.reset();
    clients.front().second();
  });
  arrived.wait(3);
  CHECK_THAT(slurp(dir / "log"),
             ContainsSubstring("warning: --publish test: 2 connections are open, which is the limit; further clients "
                               "wait until one ends"));
  loop.run([&] {
    listener->close();
    clients.clear();
  });
}

TEST_CASE("many clients at once are all served") {
  Guest guest;
  LoopThread loop;
  Published published(loop, guest);
  std::vector<UniqueFd> clients;
  for (int i = 0; i < 300; ++i) {
    clients.push_back(tcp_connect(published.port));
    guest.wait_for_port(i + 1);
    UniqueFd inside = guest.take();
    send_all(clients.back().get(), "hi");
    REQUIRE(receive(inside.get(), 2) == "hi");
    ::shutdown(inside.get(), SHUT_WR);
    REQUIRE(receive_to_end(clients.back().get()).empty());
  }
}

TEST_CASE("a loop may be destroyed while clients wait for the guest") {
  const uint16_t port = free_port();
  std::function<void(Result<UniqueFd>)> waiting;
  UniqueFd client;
  {
    boost::asio::io_context loop(1);
    auto forwarder = *PortForwarder::bind(loop, "127.0.0.1", port, 80);
    forwarder->start([&](uint32_t, std::chrono::milliseconds, std::function<void(Result<UniqueFd>)> done) {
      waiting = std::move(done);
    });
    client = tcp_connect(port);
    while (!waiting) loop.run_one();
    forwarder.reset();
    waiting = nullptr;
  }
  CHECK(how_it_ends(client.get()) == 0);
}

TEST_CASE("a port counts its clients, those refused and their bytes") {
  Guest guest;
  LoopThread loop;
  Published published(loop, guest);
  const auto traffic = [&] { return loop.run([&] { return published.forwarder->traffic(); }); };
  CHECK(traffic().connections == 0);
  UniqueFd client = tcp_connect(published.port);
  guest.wait_for_port();
  UniqueFd inside = guest.take();
  send_all(client.get(), "hello");
  CHECK(receive(inside.get(), 5) == "hello");
  send_all(inside.get(), "hi");
  CHECK(receive(client.get(), 2) == "hi");
  CHECK(traffic().open == 1);
  CHECK(traffic().bytes_to_guest == 5);
  CHECK(traffic().bytes_from_guest == 2);
  loop.run([&] { guest.refuse = true; });
  CHECK(how_it_ends(tcp_connect(published.port).get()) == 0);
  CHECK(traffic().refused == 1);
  CHECK(traffic().connections == 2);
  ::shutdown(inside.get(), SHUT_WR);
  CHECK(receive_to_end(client.get()).empty());
  ::shutdown(client.get(), SHUT_WR);
  CHECK(receive_to_end(inside.get()).empty());
  CHECK(traffic().open == 0);
}

TEST_CASE("a Unix socket that cannot be made is refused with what stands in the way") {
  const TempDir dir;
  const auto why = [](const std::string& path) {
    const std::string message = bind_error("unix:" + path, 0);
    const std::string label = mvm::host::formatted("--publish unix:{}:80: ", path);
    CHECK_THAT(message, StartsWith(label));
    return message.substr(std::min(label.size(), message.size()));
  };
  const std::string file = dir.write("file", "mine");
  CHECK(why(file) == file + " is there already, and is no socket; publish another path");
  CHECK(slurp(file) == "mine");
  const std::string missing = (dir / "not-there").string();
  CHECK(why(missing + "/s") == missing + " is no directory; make it first, or publish another path");
  const std::string longer = (dir / std::string(120, 'd')).string();
  CHECK_THAT(why(longer),
             StartsWith(mvm::host::formatted("{} has {} bytes, and a socket's path has", longer, longer.size())));
}

TEST_CASE("of several that publish a Unix socket at the same time one gets it, and the others are told") {
  const TempDir dir;
  const std::string path = (dir / "web.sock").string();
  constexpr int rivals = 4;
  for (int round = 0; round < 200; ++round) {
    unix_listener(path).reset();  // as a killed runner leaves it
    std::latch together(rivals);
    std::array<boost::asio::io_context, rivals> loops;
    std::vector<std::future<Result<std::unique_ptr<PortForwarder>>>> bound;
    for (auto& loop : loops) {
      bound.push_back(std::async(std::launch::async, [&together, &loop, &path] {
        together.arrive_and_wait();
        return PortForwarder::bind(loop, "unix:" + path, 0, 80);
      }));
    }
    std::vector<std::unique_ptr<PortForwarder>> winners;
    for (auto& one : bound) {
      auto result = one.get();
      if (result) {
        winners.push_back(std::move(*result));
      } else {
        CHECK_THAT(result.error().message, ContainsSubstring("is served by another program or VM"));
      }
    }
    REQUIRE(winners.size() == 1);
    REQUIRE(unix_connect(path));
    winners.clear();
    REQUIRE_FALSE(std::filesystem::exists(path));
  }
}

TEST_CASE("a Unix socket that somebody serves is not taken from them, and one that nobody serves is") {
  const TempDir dir;
  const std::string path = (dir / "web.sock").string();
  boost::asio::io_context loop(1);
  {
    const UniqueFd served = unix_listener(path);
    const auto refused = PortForwarder::bind(loop, "unix:" + path, 0, 80);
    REQUIRE_FALSE(refused);
    CHECK(
        refused.error().message ==
        mvm::host::formatted("--publish unix:{0}:80: {0} is served by another program or VM; publish another path, or "
                             "end what serves it",
                             path));
    CHECK(unix_connect(path));
  }
  auto forwarder = PortForwarder::bind(loop, "unix:" + path, 0, 80);
  REQUIRE(forwarder);
  CHECK(unix_connect(path));
  forwarder->reset();
  CHECK_FALSE(std::filesystem::exists(path));
}
