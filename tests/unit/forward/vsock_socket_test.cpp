// SPDX-License-Identifier: Apache-2.0
#include "forward/vsock_socket.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include <sys/stat.h>

#include "base/log.hpp"
#include "unit/base/temp_dir.hpp"
#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

namespace {

// Port 7 echoes what the test's thread writes back; others are refused.
class Server {
 public:
  explicit Server(const std::filesystem::path& path) {
    loop_.run([&] {
      auto bound = VsockSocket::bind(loop_.loop(), path);
      INFO((bound ? std::string() : bound.error().message));
      REQUIRE(bound);
      socket_ = std::move(*bound);
      socket_->start([this](uint32_t port, std::chrono::milliseconds, std::function<void(Result<UniqueFd>)> done) {
        if (port != 7) return done(fail(ErrorKind::failed, "nobody listens"));
        SocketPair pair = unix_pair();
        {
          const std::lock_guard lock(mutex_);
          guests_.push_back(std::move(pair.near));
        }
        connected_.happen(port);
        done(std::move(pair.far));
      });
    });
  }
  ~Server() {
    loop_.run([&] { socket_.reset(); });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  UniqueFd guest(int number = 1) {
    connected_.wait(number);
    const std::lock_guard lock(mutex_);
    return std::move(guests_.at(static_cast<size_t>(number) - 1));
  }
  LoopThread& loop() { return loop_; }

 private:
  Happening<uint32_t> connected_;
  std::mutex mutex_;
  std::vector<UniqueFd> guests_;
  LoopThread loop_;
  std::unique_ptr<VsockSocket> socket_;
};

std::string receive_line(int fd) {
  std::string line;
  do {
    line += receive(fd, 1);
  } while (line.back() != '\n');
  return line;
}

}  // namespace

TEST_CASE("a client that says CONNECT is answered OK and a number, then talks to the guest port") {
  const TempDir dir;
  Server server(dir / "vsock.sock");
  UniqueFd client = unix_connect(dir / "vsock.sock");
  REQUIRE(client);
  send_all(client.get(), "CONNECT 7\n");
  const std::string ok = receive_line(client.get());
  CHECK_THAT(ok, StartsWith("OK "));
  CHECK(std::stoul(ok.substr(3)) >= 1UL << 30);
  UniqueFd guest = server.guest();
  send_all(client.get(), "ping");
  CHECK(receive(guest.get(), 4) == "ping");
  send_all(guest.get(), "pong");
  CHECK(receive(client.get(), 4) == "pong");
  ::shutdown(client.get(), SHUT_WR);
  CHECK(receive_to_end(guest.get()).empty());
  send_all(guest.get(), "bye");
  guest.reset();
  CHECK(receive_to_end(client.get()) == "bye");
}

TEST_CASE("bytes that follow the CONNECT line at once reach the guest") {
  const TempDir dir;
  Server server(dir / "vsock.sock");
  UniqueFd client = unix_connect(dir / "vsock.sock");
  const std::string much = pattern(100000, 5);
  send_all(client.get(), "CONNECT 7\n" + much);
  UniqueFd guest = server.guest();
  CHECK(receive(guest.get(), much.size()) == much);
  CHECK_THAT(receive_line(client.get()), StartsWith("OK "));
}

TEST_CASE("a CONNECT line may come byte by byte") {
  const TempDir dir;
  Server server(dir / "vsock.sock");
  UniqueFd client = unix_connect(dir / "vsock.sock");
  for (const char c : std::string("CONNECT 7\n")) {
    send_all(client.get(), std::string(1, c));
    server.loop().run([] {});
  }
  CHECK_THAT(receive_line(client.get()), StartsWith("OK "));
}

TEST_CASE("a guest port that nobody listens on closes the client without an answer") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "log", log::Level::info, false));
  Server server(dir / "vsock.sock");
  UniqueFd client = unix_connect(dir / "vsock.sock");
  send_all(client.get(), "CONNECT 8\n");
  CHECK(receive_to_end(client.get()).empty());
  CHECK_THAT(slurp(dir / "log"), ContainsSubstring("vsock.sock: guest port 8: nobody listens; the client was closed"));
}

TEST_CASE("refusals that come fast are logged once a second, with the number of those that were not") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "log", log::Level::info, false));
  Server server(dir / "vsock.sock");
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 200; ++i) {
    UniqueFd client = unix_connect(dir / "vsock.sock");
    send_all(client.get(), "CONNECT 8\n");
    CHECK(receive_to_end(client.get()).empty());
  }
  const auto took = std::chrono::steady_clock::now() - began;
  const std::string text = slurp(dir / "log");
  CHECK(std::count(text.begin(), text.end(), '\n') <= 1 + took / std::chrono::seconds(1));
}

TEST_CASE("garbage, a line too long and an early end close the client, and the next one is served") {
  const TempDir dir;
  Server server(dir / "vsock.sock");
  for (const std::string& text : {std::string("HELLO\n"), std::string(31, 'x') + "\n", std::string("CONNECT seven\n"),
                                  std::string(32, 'y'), std::string(1, '\0') + "\n"}) {
    INFO(text);
    UniqueFd client = unix_connect(dir / "vsock.sock");
    send_all(client.get(), text);
    CHECK(receive_to_end(client.get()).empty());
  }
  UniqueFd gone = unix_connect(dir / "vsock.sock");
  send_all(gone.get(), "CONN");
  ::shutdown(gone.get(), SHUT_WR);
  CHECK(receive_to_end(gone.get()).empty());
  UniqueFd good = unix_connect(dir / "vsock.sock");
  send_all(good.get(), "CONNECT 7\n");
  CHECK_THAT(receive_line(good.get()), StartsWith("OK "));
}

TEST_CASE("a client that says nothing is closed after ten seconds and delays nobody meanwhile") {
  const TempDir dir;
  Server server(dir / "vsock.sock");
  UniqueFd silent = unix_connect(dir / "vsock.sock");
  send_all(silent.get(), "CONN");
  const auto began = std::chrono::steady_clock::now();
  UniqueFd other = unix_connect(dir / "vsock.sock");
  send_all(other.get(), "CONNECT 7\n");
  CHECK_THAT(receive_line(other.get()), StartsWith("OK "));
  CHECK(receive_to_end(silent.get()).empty());
  const auto took = std::chrono::steady_clock::now() - began;
  CHECK(took > std::chrono::seconds(9));
  CHECK(took < std::chrono::seconds(15));
}

TEST_CASE("the socket is its owner's only, whatever the umask, and goes with its object") {
  const TempDir dir;
  const mode_t before = ::umask(0);
  std::optional<Server> server(std::in_place, dir / "vsock.sock");
  ::umask(before);
  struct stat info {};
  REQUIRE(::lstat((dir / "vsock.sock").c_str(), &info) == 0);
  CHECK(S_ISSOCK(info.st_mode));
  CHECK((info.st_mode & 07777) == 0600);
  server.reset();
  CHECK_FALSE(std::filesystem::exists(dir / "vsock.sock"));
}

TEST_CASE("a socket that a killed runner left is replaced") {
  const TempDir dir;
  unix_listener(dir / "vsock.sock").reset();
  REQUIRE(std::filesystem::exists(dir / "vsock.sock"));
  Server server(dir / "vsock.sock");
  UniqueFd client = unix_connect(dir / "vsock.sock");
  CHECK(client);
}

TEST_CASE("a file where the socket belongs is refused and left alone") {
  const TempDir dir;
  const auto path = dir.write("vsock.sock", "mine");
  boost::asio::io_context loop(1);
  const auto socket = VsockSocket::bind(loop, path);
  REQUIRE_FALSE(socket);
  CHECK(socket.error().message == path.string() + ": cannot listen there: File exists");
  CHECK(slurp(path) == "mine");
}

TEST_CASE("a path too long for a socket and a missing directory are refused by name") {
  const TempDir dir;
  boost::asio::io_context loop(1);
  const auto path = dir / std::string(120, 'd');
  const auto too_long = VsockSocket::bind(loop, path);
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().message == path.string() + ": cannot listen there: File name too long");
  const auto missing = VsockSocket::bind(loop, dir / "no" / "vsock.sock");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message ==
        (dir / "no" / "vsock.sock").string() + ": cannot listen there: No such file or directory");
}

TEST_CASE("the socket of a later run is not removed by an earlier one") {
  const TempDir dir;
  std::optional<Server> earlier(std::in_place, dir / "vsock.sock");
  Server later(dir / "vsock.sock");
  earlier.reset();
  CHECK(std::filesystem::exists(dir / "vsock.sock"));
  UniqueFd client = unix_connect(dir / "vsock.sock");
  CHECK(client);
}

TEST_CASE("a loop may be destroyed in the midst of a handshake") {
  const TempDir dir;
  UniqueFd client;
  {
    boost::asio::io_context loop(1);
    auto socket = *VsockSocket::bind(loop, dir / "vsock.sock");
    socket->start([](uint32_t, std::chrono::milliseconds, std::function<void(Result<UniqueFd>)>) {});
    client = unix_connect(dir / "vsock.sock");
    send_all(client.get(), "CONN");
    loop.run_one();
    loop.poll();
    socket.reset();
  }
  how_it_ends(client.get());
}
