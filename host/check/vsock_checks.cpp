// SPDX-License-Identifier: Apache-2.0
// vsock, both ways, with real bytes.
#include <condition_variable>
#include <mutex>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>

#include "check/check.hpp"
#include "check/running_vm.hpp"
#include "check/stream.hpp"
#include "mvm/ext/guest_connect.h"

namespace mvm::host::check {
namespace {

// The port of what listens in the guest; without it the check is skipped.
uint32_t needed_service(const std::string& name) {
  const auto port = subject().service(name);
  if (!port) throw Ended(Verdict::skipped, "needs service " + name);
  return *port;
}

MVM_PLUGIN_CHECK("bytes sent to the guest's echo come back", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const uint32_t port = needed_service("echo");
  const UniqueFd fd = m.open_stream(port);
  write_all(fd.get(), "hello, guest");
  MVM_EXPECT(read_exactly(fd.get(), 12) == "hello, guest");
}

MVM_PLUGIN_CHECK("a connection is a close-on-exec stream socket of the host's own", "vsock", "MVM-P5", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const uint32_t port = needed_service("echo");
  const UniqueFd fd = m.open_stream(port);
  int type = 0;
  socklen_t size = sizeof type;
  MVM_REQUIRE(::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0);
  MVM_EXPECT(type == SOCK_STREAM);
  MVM_EXPECT((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("after the host's half-close the guest sends what is left, and then ends", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const uint32_t port = needed_service("echo");
  const UniqueFd fd = m.open_stream(port);
  write_all(fd.get(), "last words");
  end_writing(fd.get());
  MVM_EXPECT(read_to_end(fd.get()) == "last words");
}

MVM_PLUGIN_CHECK("a mebibyte of any bytes survives the way to the guest and back", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const uint32_t port = needed_service("echo");
  const UniqueFd fd = m.open_stream(port);
  const std::string bytes = some_bytes(1024 * 1024);
  MVM_EXPECT((exchange(fd.get(), bytes) == bytes));
}

MVM_PLUGIN_CHECK("hundreds of connections live beside each other", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const uint32_t port = needed_service("echo");
  std::vector<UniqueFd> all;
  for (int n = 0; n < 200; ++n) all.push_back(m.open_stream(port));
  for (size_t n = 0; n < all.size(); ++n) write_all(all[n].get(), "connection " + std::to_string(n) + "\n");
  for (size_t n = all.size(); n-- > 0;) MVM_EXPECT(read_line(all[n].get()) == "connection " + std::to_string(n));
}

MVM_PLUGIN_CHECK("a peer that reads nothing stops its own connection and no other", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const auto echo = subject().service("echo");
  const auto pattern = subject().service("pattern");
  MVM_SKIP_UNLESS("services echo and pattern", echo && pattern);
  const UniqueFd stalled = m.open_stream(*pattern);
  MVM_EXPECT(read_exactly(stalled.get(), 10) == " !\"#$%&'()");
  const UniqueFd full = m.open_stream(*echo);
  const std::string piece(65536, 'x');
  while (!is_full(full.get())) {  // until both directions are full: the guest then reads no more
    if (::send(full.get(), piece.data(), piece.size(), MSG_DONTWAIT) < 0) break;
  }
  const UniqueFd lively = m.open_stream(*echo);
  const std::string bytes = some_bytes(1024 * 1024, 2);
  MVM_EXPECT((exchange(lively.get(), bytes) == bytes));
}

MVM_PLUGIN_CHECK("what is sent to discard is taken and gone", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  const uint32_t port = needed_service("discard");
  const UniqueFd fd = m.open_stream(port);
  MVM_EXPECT(exchange(fd.get(), some_bytes(1024 * 1024)) == "");
}

MVM_PLUGIN_CHECK("a port that nobody listens on is refused at once when no time was given", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  MVM_SKIP_UNLESS("vsock", m.info().vsock());
  const Outcome outcome = m.connect(4999, 0);
  MVM_EXPECT(outcome.status == MVM_ERR_REFUSED);
  MVM_EXPECT(contains(outcome.error, "4999"));
}

MVM_PLUGIN_CHECK("a port that nobody listens on yet is tried until the deadline", "vsock", "", shares_vm) {
  const RunningVm vm;
  Machine& m = *vm;
  MVM_SKIP_UNLESS("vsock", m.info().vsock());
  const Outcome outcome = m.connect(4999, 100);
  MVM_EXPECT(outcome.status == MVM_ERR_DEADLINE);
  MVM_EXPECT(contains(outcome.error, "4999"));
}

MVM_PLUGIN_CHECK("a port that begins to listen in time is connected to", "vsock", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option late-port", m.has_option("late-port"));
  m.start({{"late-port", "4999:50"}});
  const UniqueFd fd = m.open_stream(4999);
  write_all(fd.get(), "late");
  MVM_EXPECT(read_exactly(fd.get(), 4) == "late");
}

MVM_PLUGIN_CHECK("a port that the guest refuses is refused, however long there was to try", "vsock", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option refuse-port", m.has_option("refuse-port"));
  m.start({{"refuse-port", "4999,7"}});
  MVM_EXPECT(m.connect(4999, 60'000).status == MVM_ERR_REFUSED);
  MVM_EXPECT(m.connect(7, 60'000).status == MVM_ERR_REFUSED);
}

MVM_PLUGIN_CHECK("a slow guest delivers everything, slowly", "vsock", "", own_vm) {
  Machine m;
  MVM_SKIP_UNLESS("option slow-port", m.has_option("slow-port"));
  m.start({{"slow-port", "4999:200000"}});
  const UniqueFd fd = m.open_stream(4999);
  const std::string bytes = some_bytes(40'000);
  const auto start = std::chrono::steady_clock::now();
  MVM_EXPECT((exchange(fd.get(), bytes) == bytes));
  MVM_EXPECT(std::chrono::steady_clock::now() - start > std::chrono::milliseconds(100));
}

MVM_PLUGIN_CHECK("a delayed connection is made in the end, and a stop cancels it", "vsock", "MVM-P4", own_vm) {
  Machine m;
  const auto port = subject().service("echo");
  MVM_SKIP_UNLESS("option connect-delay", m.has_option("connect-delay") && port);
  m.start({{"connect-delay", "20"}});
  MVM_EXPECT(m.connect(*port).status == MVM_OK);
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  m.start({{"connect-delay", "600000"}});
  v1::VsockConnectRequest request;
  request.set_name("demo");
  request.set_port(*port);
  const Call call;
  m.hv().vsock_connect(request.SerializeAsString(), call.fd_completion());
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  MVM_EXPECT(call.wait().status == MVM_ERR_CANCELLED);
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("the guest's connections end with the VM", "vsock", "", own_vm) {
  Machine m;
  const uint32_t port = needed_service("echo");
  m.start();
  const UniqueFd fd = m.open_stream(port);
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
  MVM_EXPECT(read_to_end(fd.get()) == "");
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

MVM_PLUGIN_CHECK("a guest that connects to a port of the host is joined to who listens there", "guest-connect", "",
                 shares_vm) {
  Taker taker;
  const RunningVm vm;
  Machine& m = *vm;
  const auto dial = subject().service("dial");
  MVM_SKIP_UNLESS("extension mvm.guest-connect/1 and service dial", m.has_extension(MVM_EXT_GUEST_CONNECT) && dial);
  const Listening listening(m, 6000, taker.handler());
  const UniqueFd near = m.open_stream(*dial);
  write_all(near.get(), "DIAL 6000\nfrom the guest");
  end_writing(near.get());
  uint32_t port = 0;
  const UniqueFd far = taker.next(port);
  MVM_EXPECT(port == 6000);
  MVM_EXPECT(read_to_end(far.get()) == "from the guest");
  write_all(far.get(), "from the host");
  end_writing(far.get());
  MVM_EXPECT(read_to_end(near.get()) == "from the host");
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("every port of the host can be listened on at once, where info says so", "guest-connect", "",
                 shares_vm) {
  Taker taker;
  const RunningVm vm;
  Machine& m = *vm;
  const auto dial = subject().service("dial");
  MVM_SKIP_UNLESS("guest_connect_any_port and service dial", m.info().guest_connect_any_port() && dial);
  const Listening listening(m, MVM_GUEST_PORT_ANY, taker.handler());
  const UniqueFd near = m.open_stream(*dial);
  write_all(near.get(), "DIAL 4242\n");
  uint32_t port = 0;
  const UniqueFd far = taker.next(port);
  MVM_EXPECT(port == 4242);
  write_all(far.get(), "x");
  MVM_EXPECT(read_exactly(near.get(), 1) == "x");
}

MVM_PLUGIN_CHECK("a guest that connects to a port where nobody listens is refused", "guest-connect", "", shares_vm) {
  Taker taker;
  const RunningVm vm;
  Machine& m = *vm;
  const auto dial = subject().service("dial");
  MVM_SKIP_UNLESS("extension mvm.guest-connect/1 and service dial", m.has_extension(MVM_EXT_GUEST_CONNECT) && dial);
  { const Listening listened(m, 6000, taker.handler()); }
  const UniqueFd near = m.open_stream(*dial);
  write_all(near.get(), "DIAL 6000\n");
  MVM_EXPECT(read_line(near.get()) == "ERR refused");
}

MVM_PLUGIN_CHECK("a host that declines a guest's connection has it reset, and loses no file", "guest-connect", "",
                 own_vm) {
  Machine m;
  const auto dial = subject().service("dial");
  MVM_SKIP_UNLESS("extension mvm.guest-connect/1 and service dial", m.has_extension(MVM_EXT_GUEST_CONNECT) && dial);
  m.hv().guest_listen(6000, [](uint32_t, UniqueFd&) { return false; });
  m.start();
  {
    const UniqueFd near = m.open_stream(*dial);
    write_all(near.get(), "DIAL 6000\n");
    MVM_EXPECT(read_line(near.get()) == "ERR refused");
  }
  MVM_REQUIRE(m.stop(true).status == MVM_OK);
}

MVM_PLUGIN_CHECK("a guest that was told to calls the host after its boot", "guest-connect", "", own_vm) {
  Taker taker;
  Machine m;
  MVM_SKIP_UNLESS("option guest-connect", m.has_option("guest-connect"));
  m.hv().guest_listen(6000, taker.handler());
  m.start({{"guest-connect", "6000:I am up"}});
  uint32_t port = 0;
  const UniqueFd far = taker.next(port);
  MVM_EXPECT(read_exactly(far.get(), 7) == "I am up");
  write_all(far.get(), "welcome");
  end_writing(far.get());
  MVM_EXPECT(m.console().wait_for("answered: welcome"));
}

}  // namespace

void link_vsock_checks() {}

}  // namespace mvm::host::check
