// SPDX-License-Identifier: Apache-2.0
// vsock, both ways, with real bytes.
#include <condition_variable>
#include <mutex>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>

#include "contract/support/needs.hpp"
#include "contract/support/running_vm.hpp"
#include "contract/support/stream.hpp"
#include "mvm/ext/guest_connect.h"

using namespace mvm;
using namespace mvm::test;

TEST_CASE("bytes sent to the guest's echo come back", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
  const UniqueFd fd = m.open_stream(*port);
  write_all(fd.get(), "hello, guest");
  CHECK(read_exactly(fd.get(), 12) == "hello, guest");
}

TEST_CASE("a connection is a close-on-exec stream socket of the host's own", "[contract][vsock][MVM-P5][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
  const UniqueFd fd = m.open_stream(*port);
  int type = 0;
  socklen_t size = sizeof type;
  REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0);
  CHECK(type == SOCK_STREAM);
  CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  check_no_rule_was_broken(m);
}

TEST_CASE("after the host's half-close the guest sends what is left, and then ends", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
  const UniqueFd fd = m.open_stream(*port);
  write_all(fd.get(), "last words");
  end_writing(fd.get());
  CHECK(read_to_end(fd.get()) == "last words");
}

TEST_CASE("a mebibyte of any bytes survives the way to the guest and back", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
  const UniqueFd fd = m.open_stream(*port);
  const std::string bytes = some_bytes(1024 * 1024);
  CHECK((exchange(fd.get(), bytes) == bytes));
}

TEST_CASE("hundreds of connections live beside each other", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
  std::vector<UniqueFd> all;
  for (int n = 0; n < 200; ++n) all.push_back(m.open_stream(*port));
  for (size_t n = 0; n < all.size(); ++n) write_all(all[n].get(), "connection " + std::to_string(n) + "\n");
  for (size_t n = all.size(); n-- > 0;) CHECK(read_line(all[n].get()) == "connection " + std::to_string(n));
}

TEST_CASE("a peer that reads nothing stops its own connection and no other", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto echo = subject().service("echo");
  const auto pattern = subject().service("pattern");
  NEEDS("services echo and pattern", echo && pattern);
  const UniqueFd stalled = m.open_stream(*pattern);
  CHECK(read_exactly(stalled.get(), 10) == " !\"#$%&'()");
  const UniqueFd full = m.open_stream(*echo);
  const std::string piece(65536, 'x');
  while (!is_full(full.get())) {  // until both directions are full: the guest then reads no more
    if (::send(full.get(), piece.data(), piece.size(), MSG_DONTWAIT) < 0) break;
  }
  const UniqueFd lively = m.open_stream(*echo);
  const std::string bytes = some_bytes(1024 * 1024, 2);
  CHECK((exchange(lively.get(), bytes) == bytes));
}

TEST_CASE("what is sent to discard is taken and gone", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("discard");
  NEEDS("service discard", port);
  const UniqueFd fd = m.open_stream(*port);
  CHECK(exchange(fd.get(), some_bytes(1024 * 1024)) == "");
}

TEST_CASE("a port that nobody listens on is refused at once when no time was given", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const Outcome outcome = m.connect(4999, 0);
  CHECK(outcome.status == MVM_ERR_REFUSED);
  CHECK_THAT(outcome.error, ContainsSubstring("4999"));
}

TEST_CASE("a port that nobody listens on yet is tried until the deadline", "[contract][vsock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  const Outcome outcome = m.connect(4999, 100);
  CHECK(outcome.status == MVM_ERR_DEADLINE);
  CHECK_THAT(outcome.error, ContainsSubstring("4999"));
}

TEST_CASE("a port that begins to listen in time is connected to", "[contract][vsock]") {
  Machine m;
  NEEDS("option late-port", m.has_option("late-port"));
  m.start({{"late-port", "4999:50"}});
  const UniqueFd fd = m.open_stream(4999);
  write_all(fd.get(), "late");
  CHECK(read_exactly(fd.get(), 4) == "late");
}

TEST_CASE("a port that the guest refuses is refused, however long there was to try", "[contract][vsock]") {
  Machine m;
  NEEDS("option refuse-port", m.has_option("refuse-port"));
  m.start({{"refuse-port", "4999,7"}});
  CHECK(m.connect(4999, 60'000).status == MVM_ERR_REFUSED);
  CHECK(m.connect(7, 60'000).status == MVM_ERR_REFUSED);
}

TEST_CASE("a slow guest delivers everything, slowly", "[contract][vsock]") {
  Machine m;
  NEEDS("option slow-port", m.has_option("slow-port"));
  m.start({{"slow-port", "4999:200000"}});
  const UniqueFd fd = m.open_stream(4999);
  const std::string bytes = some_bytes(40'000);
  const auto start = std::chrono::steady_clock::now();
  CHECK((exchange(fd.get(), bytes) == bytes));
  CHECK(std::chrono::steady_clock::now() - start > std::chrono::milliseconds(100));
}

TEST_CASE("a delayed connection is made in the end, and a stop cancels it", "[contract][vsock][MVM-P4]") {
  Machine m;
  const auto port = subject().service("echo");
  NEEDS("option connect-delay", m.has_option("connect-delay") && port);
  m.start({{"connect-delay", "20"}});
  CHECK(m.connect(*port).status == MVM_OK);
  REQUIRE(m.stop(true).status == MVM_OK);
  m.start({{"connect-delay", "600000"}});
  v1::VsockConnectRequest request;
  request.set_name("demo");
  request.set_port(*port);
  const Call call;
  m.hv().vsock_connect(request.SerializeAsString(), call.fd_completion());
  REQUIRE(m.stop(true).status == MVM_OK);
  CHECK(call.wait().status == MVM_ERR_CANCELLED);
  check_no_rule_was_broken(m);
}

TEST_CASE("the guest's connections end with the VM", "[contract][vsock]") {
  Machine m;
  const auto port = subject().service("echo");
  NEEDS("service echo", port);
  m.start();
  const UniqueFd fd = m.open_stream(*port);
  REQUIRE(m.stop(true).status == MVM_OK);
  CHECK(read_to_end(fd.get()) == "");
}

TEST_CASE("a published web page can be fetched", "[contract][vsock][mock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  NEEDS("the mock", m.hv().identity().name == "mock");
  const UniqueFd fd = m.open_stream(10080);
  write_all(fd.get(), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string page = read_to_end(fd.get());
  CHECK_THAT(page, StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(page, ContainsSubstring("Connection: close\r\n"));
  CHECK_THAT(page, ContainsSubstring("Hello from the mock guest demo."));
  const UniqueFd bad = m.open_stream(10080);
  write_all(bad.get(), "nonsense\r\n\r\n");
  CHECK_THAT(read_to_end(bad.get()), StartsWith("HTTP/1.1 400 "));
}

TEST_CASE("the agent answers Ping with Pong, and anything else with an error", "[contract][vsock][mock][running]") {
  const RunningVm vm;
  Machine& m = *vm;
  NEEDS("the mock", m.hv().identity().name == "mock");
  const UniqueFd fd = m.open_stream(5252);
  using std::string_literals::operator""s;
  write_all(fd.get(), "\0\0\0\6\"Ping\""s);
  CHECK(read_exactly(fd.get(), 10) == "\0\0\0\6\"Pong\""s);
  write_all(fd.get(), "\0\0\0\2{}"s);
  const std::string head = read_exactly(fd.get(), 4);
  CHECK_THAT(read_exactly(fd.get(), static_cast<unsigned char>(head[3])), StartsWith("{\"Error\":"));
  write_all(fd.get(), "\0\4\0\1"s);  // one byte over 256 KiB
  CHECK_THAT(read_to_end(fd.get()).substr(4), StartsWith("{\"Error\":"));
}

namespace {

// Takes the guest's connections to the host.
class Taker {
 public:
  CanGuestConnect::OnConnect handler() {
    return [this](uint32_t port, UniqueFd& fd) {
      const std::lock_guard lock(mutex_);
      ports_.push_back(port);
      fds_.push_back(std::move(fd));
      came_.notify_all();
      return true;
    };
  }
  UniqueFd next(uint32_t& port) {
    std::unique_lock lock(mutex_);
    if (!came_.wait_for(lock, subject().deadline, [this] { return !fds_.empty(); })) {
      throw std::runtime_error("the guest did not connect");
    }
    port = ports_.back();
    UniqueFd fd = std::move(fds_.back());
    fds_.pop_back();
    return fd;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<uint32_t> ports_;
  std::vector<UniqueFd> fds_;
};

// Listens as long as it lives: the taker goes with its test, the VM may stay.
class Listening {
 public:
  Listening(Machine& machine, uint32_t port, CanGuestConnect::OnConnect on_connect) : machine_(machine), port_(port) {
    machine_.hv().guest_listen(port_, std::move(on_connect));
  }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;
  ~Listening() { machine_.hv().guest_listen(port_, {}); }

 private:
  Machine& machine_;
  uint32_t port_;
};

}  // namespace

TEST_CASE("a guest that connects to a port of the host is joined to who listens there",
          "[contract][guest-connect][running]") {
  Taker taker;
  const RunningVm vm;
  Machine& m = *vm;
  const auto dial = subject().service("dial");
  NEEDS("extension mvm.guest-connect/1 and service dial", m.has_extension(MVM_EXT_GUEST_CONNECT) && dial);
  const Listening listening(m, 6000, taker.handler());
  const UniqueFd near = m.open_stream(*dial);
  write_all(near.get(), "DIAL 6000\nfrom the guest");
  end_writing(near.get());
  uint32_t port = 0;
  const UniqueFd far = taker.next(port);
  CHECK(port == 6000);
  CHECK(read_to_end(far.get()) == "from the guest");
  write_all(far.get(), "from the host");
  end_writing(far.get());
  CHECK(read_to_end(near.get()) == "from the host");
  check_no_rule_was_broken(m);
}

TEST_CASE("every port of the host can be listened on at once, where info says so",
          "[contract][guest-connect][running]") {
  Taker taker;
  const RunningVm vm;
  Machine& m = *vm;
  const auto dial = subject().service("dial");
  NEEDS("guest_connect_any_port and service dial", m.info().guest_connect_any_port() && dial);
  const Listening listening(m, MVM_GUEST_PORT_ANY, taker.handler());
  const UniqueFd near = m.open_stream(*dial);
  write_all(near.get(), "DIAL 4242\n");
  uint32_t port = 0;
  const UniqueFd far = taker.next(port);
  CHECK(port == 4242);
  write_all(far.get(), "x");
  CHECK(read_exactly(near.get(), 1) == "x");
}

TEST_CASE("a guest that connects to a port where nobody listens is refused", "[contract][guest-connect][running]") {
  Taker taker;
  const RunningVm vm;
  Machine& m = *vm;
  const auto dial = subject().service("dial");
  NEEDS("extension mvm.guest-connect/1 and service dial", m.has_extension(MVM_EXT_GUEST_CONNECT) && dial);
  { const Listening listened(m, 6000, taker.handler()); }
  const UniqueFd near = m.open_stream(*dial);
  write_all(near.get(), "DIAL 6000\n");
  CHECK(read_line(near.get()) == "ERR refused");
}

TEST_CASE("a host that declines a guest's connection has it reset, and loses no file", "[contract][guest-connect]") {
  Machine m;
  const auto dial = subject().service("dial");
  NEEDS("extension mvm.guest-connect/1 and service dial", m.has_extension(MVM_EXT_GUEST_CONNECT) && dial);
  m.hv().guest_listen(6000, [](uint32_t, UniqueFd&) { return false; });
  m.start();
  {
    const UniqueFd near = m.open_stream(*dial);
    write_all(near.get(), "DIAL 6000\n");
    CHECK(read_line(near.get()) == "ERR refused");
  }
  REQUIRE(m.stop(true).status == MVM_OK);
}

TEST_CASE("a guest that was told to calls the host after its boot", "[contract][guest-connect]") {
  Taker taker;
  Machine m;
  NEEDS("option guest-connect", m.has_option("guest-connect"));
  m.hv().guest_listen(6000, taker.handler());
  m.start({{"guest-connect", "6000:I am up"}});
  uint32_t port = 0;
  const UniqueFd far = taker.next(port);
  CHECK(read_exactly(far.get(), 7) == "I am up");
  write_all(far.get(), "welcome");
  end_writing(far.get());
  CHECK(m.console().wait_for("answered: welcome"));
}
