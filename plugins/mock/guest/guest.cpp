// SPDX-License-Identifier: Apache-2.0
#include "guest.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <utility>

#include "call_host.hpp"
#include "guest_call.hpp"

namespace mvm::mock {
namespace {

// How long a graceful stop may take when the request leaves it to us.
constexpr std::chrono::seconds default_stop_timeout{30};

// Takes one out of those that wait; empty when it was answered meanwhile.
template <class Pending>
std::optional<Pending> take(std::map<uint64_t, Pending>& all, uint64_t id) {
  auto node = all.extract(id);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

}  // namespace

Guest::Guest(Ground& ground, v1::VmSpec spec, Options options, Shares shares)
    : ground_(ground),
      spec_(std::move(spec)),
      options_(std::move(options)),
      shares_(std::move(shares)),
      services_(ground.loop, connections_, shares_, ground.host_ports, spec_.name()) {
  for (const SlowPort& slow : options_.slow_ports) services_.serve_slow_echo(slow.port, slow.bytes_per_s);
}

Guest::Timer Guest::after(Delay delay, std::function<void()> fn) {
  auto timer = std::make_shared<boost::asio::steady_timer>(ground_.loop, delay);
  timers_.insert(timer);
  timer->async_wait([self = shared_from_this(), timer, fn = std::move(fn)](const boost::system::error_code& cancelled) {
    self->timers_.erase(timer);
    if (!cancelled && !self->ended_) fn();
  });
  return timer;
}

void Guest::after_in_guest(Delay delay, std::function<void()> fn) {
  after(delay, [this, fn = std::move(fn)] {
    if (paused_) return put_off_.push_back(fn);
    fn();
  });
}

void Guest::print(std::string_view text) {
  if (console_) console_->kernel(text);
}

// ---- boot

void Guest::boot(Completion done) {
  booting_.push_back(std::move(done));
  try {
    open_console();
  } catch (const Error& e) {
    ended_ = true;
    ground_.table.remove(spec_.name());
    booting_.front().fail(e.status(), named(e.what()));
    return ground_.on_gone(spec_.name());
  }
  print_boot();
  if (options_.hang == Verb::boot) return;
  if (options_.boot_delay.count() == 0) return options_.boot_error.empty() ? booted() : fail_boot();
  after(options_.boot_delay, [this] { options_.boot_error.empty() ? booted() : fail_boot(); });
}

void Guest::open_console() {
  UniqueFd fd;
  try {
    fd = ground_.host.console_open(spec_.name());
  } catch (const Error& e) {
    if (e.status() == MVM_ERR_UNSUPPORTED) return;  // a host without consoles
    throw;
  }
  console_ = std::make_shared<Console>(ground_.consoles, adopt(ground_.loop, std::move(fd)));
  console_->start();
}

void Guest::print_boot() {
  const std::string kib = std::to_string(spec_.memory_bytes() / 1024) + "K";
  print("Linux version 6.1.0-mock (mvm@mock) #1 SMP PREEMPT_DYNAMIC");
  print("Command line: " + spec_.cmdline());
  print("DMI: mvm mock hypervisor, kernel file " + spec_.kernel());
  print("Memory: " + kib + "/" + kib + " available");
  print("smp: Brought up 1 node, " + std::to_string(spec_.cpus()) + " CPUs");
  for (int n = 0; n < spec_.disks_size(); ++n) {
    print("virtio_blk virtio" + std::to_string(n) + ": [vd" + static_cast<char>('a' + n % 26) + "] " +
          spec_.disks(n).path() + (spec_.disks(n).read_only() ? " (ro)" : ""));
  }
  for (const v1::Share& share : shares_.in_force()) {
    print("virtiofs: tag <" + share.tag() + ">" + (share.read_only() ? " (ro)" : " (rw)"));
  }
  if (spec_.network().enabled()) print("virtio_net eth0: " + spec_.network().mac());
  print("NET: Registered PF_VSOCK protocol family");
}

void Guest::booted() {
  running_ = true;
  print("Run /init as init process");
  print("mock guest " + spec_.name() + ": ready");
  ground_.table.set_state(spec_.name(), v1::VM_STATE_RUNNING);
  const Completion done = std::move(booting_.front());
  booting_.clear();
  done.succeed(ground_.table.get(spec_.name()).SerializeAsString());
  begin_life();
}

void Guest::fail_boot() {
  print(options_.boot_error);
  const Completion done = std::move(booting_.front());
  booting_.clear();
  end(v1::EXIT_REASON_ERROR, options_.boot_error);
  done.fail(MVM_ERR_INTERNAL, named(options_.boot_error));
}

// ---- what it does by itself

void Guest::begin_life() {
  if (console_ && options_.console_lines > 0) console_->flood(options_.console_lines);
  for (const LatePort& late : options_.late_ports) {
    after_in_guest(late.after, [this, port = late.port] { listen_late(port); });
  }
  if (options_.guest_call) call_host(*options_.guest_call);
  if (options_.crash_after) after_in_guest(*options_.crash_after, [this] { crash(); });
  if (options_.panic_after) after_in_guest(*options_.panic_after, [this] { panic(); });
  if (options_.exit_after) {
    shut_down_after(*options_.exit_after, v1::EXIT_REASON_GUEST_SHUTDOWN, "the guest powered itself off");
  }
  if (options_.reset_after) {
    shut_down_after(*options_.reset_after, v1::EXIT_REASON_GUEST_RESET, "the guest reset itself");
  }
}

void Guest::listen_late(uint32_t port) {
  services_.serve_echo(port);
  for (const auto& [id, pending] : std::exchange(connecting_, {})) {
    if (pending.port != port) {
      connecting_.emplace(id, pending);
      continue;
    }
    pending.timer->cancel();
    try_connect(port, Delay(0), pending.done);
  }
}

void Guest::call_host(const GuestCall& call) {
  const std::string subject = "guest-connect: port " + std::to_string(call.port) + ": ";
  UniqueFd fd;
  try {
    fd = mock::call_host(ground_.host_ports, call.port);
  } catch (const Error& e) {
    return print(subject + e.what());
  }
  if (!fd) return print(subject + "refused");
  const auto connection = std::make_shared<GuestCallConnection>(
      connections_, adopt(ground_.loop, std::move(fd)),
      [this, subject](std::string_view answer) { print(subject + "answered: " + std::string(answer)); });
  connection->start();
  connection->say(call.text);
}

void Guest::shut_down_after(Delay delay, v1::ExitReason reason, const std::string& detail) {
  after_in_guest(delay, [this, reason, detail] {
    print(reason == v1::EXIT_REASON_GUEST_RESET ? "reboot: Restarting system" : "reboot: Power down");
    end(reason, detail);
  });
}

void Guest::panic() {
  const std::string words = "Kernel panic - not syncing: asked for by option panic-after";
  print(words);
  print("---[ end " + words + " ]---");
  end(v1::EXIT_REASON_GUEST_PANIC, words);
}

void Guest::crash() {
  std::raise(SIGSEGV);
  std::abort();  // somebody handled it
}

// ---- vsock

void Guest::connect(uint32_t port, Delay timeout, FdCompletion done) {
  if (!running_) return done.fail(MVM_ERR_BUSY, named("is not running yet"));
  if (options_.hang == Verb::vsock_connect) return hung_connects_.push_back(std::move(done));
  if (options_.connect_delay.count() == 0) return try_connect(port, timeout, done);
  const uint64_t id = ++last_id_;
  const Timer timer = after(options_.connect_delay, [this, id, timeout] {
    if (const auto pending = take(delayed_, id)) try_connect(pending->port, timeout, pending->done);
  });
  delayed_.emplace(id, PendingConnect{port, std::move(done), timer});
}

void Guest::try_connect(uint32_t port, Delay timeout, const FdCompletion& done) {
  const std::string subject = "vsock port " + std::to_string(port) + ": ";
  if (options_.refused_ports.contains(port)) return done.fail(MVM_ERR_REFUSED, subject + "the guest refused");
  if (paused_ || !services_.serves(port)) {
    if (timeout.count() > 0) return wait_for_listener(port, timeout, done);
    if (paused_) return done.fail(MVM_ERR_BUSY, subject + "the guest is paused");
    return done.fail(MVM_ERR_REFUSED, subject + "nobody listens there in the guest");
  }
  try {
    done.succeed(services_.connect(port));
  } catch (...) {
    done.fail_with_current_exception();
  }
}

void Guest::wait_for_listener(uint32_t port, Delay timeout, const FdCompletion& done) {
  const uint64_t id = ++last_id_;
  const Timer deadline = after(timeout, [this, id] {
    const auto pending = take(connecting_, id);
    if (!pending) return;
    pending->done.fail(MVM_ERR_DEADLINE, "vsock port " + std::to_string(pending->port) +
                                             ": nobody listens there in the guest, and time is up");
  });
  connecting_.emplace(id, PendingConnect{port, done, deadline});
}

// ---- shares

void Guest::share(const v1::Share& share, const Completion& done) {
  if (!running_) return done.fail(MVM_ERR_BUSY, named("is not running yet"));
  if (options_.hang == Verb::share_dir) return hung_.push_back(done);
  try {
    shares_.add(share);
    ground_.table.set_shares(spec_.name(), shares_.in_force());
    print("virtiofs: tag <" + share.tag() + ">" + (share.read_only() ? " (ro)" : " (rw)"));
    done.succeed();
  } catch (...) {
    done.fail_with_current_exception();
  }
}

void Guest::unshare(const std::string& tag, const Completion& done) {
  if (!running_) return done.fail(MVM_ERR_BUSY, named("is not running yet"));
  try {
    shares_.remove(tag);
    ground_.table.set_shares(spec_.name(), shares_.in_force());
    print("virtiofs: tag <" + tag + "> is gone");
    done.succeed();
  } catch (...) {
    done.fail_with_current_exception();
  }
}

// ---- pause

void Guest::pause(const Completion& done) {
  if (!running_ || shutting_down_) return done.fail(MVM_ERR_BUSY, named("is not running"));
  if (!std::exchange(paused_, true)) {
    connections_.hold();
    ground_.table.set_state(spec_.name(), v1::VM_STATE_PAUSED);
  }
  done.succeed();
}

void Guest::resume(const Completion& done) {
  if (!running_) return done.fail(MVM_ERR_BUSY, named("is not running"));
  if (!std::exchange(paused_, false)) return done.succeed();
  ground_.table.set_state(spec_.name(), v1::VM_STATE_RUNNING);
  done.succeed();
  connections_.let_go();
  for (const auto& [id, pending] : std::exchange(connecting_, {})) {
    if (!services_.serves(pending.port)) {
      connecting_.emplace(id, pending);
      continue;
    }
    pending.timer->cancel();
    try_connect(pending.port, Delay(0), pending.done);
  }
  for (const auto& fn : std::exchange(put_off_, {})) {
    if (!ended_) fn();
  }
}

// ---- stop

void Guest::stop(bool force, Delay timeout, Completion done) {
  if (options_.hang == Verb::stop) return hung_.push_back(std::move(done));
  const uint64_t id = ++last_id_;
  if (force || !running_) {
    stopping_.emplace(id, PendingStop{std::move(done), {}});
    return end(v1::EXIT_REASON_HOST_STOP, running_ ? "stopped by force" : "stopped while booting");
  }
  const Timer deadline =
      after(timeout.count() == 0 ? default_stop_timeout : timeout, [this, id] { give_up_stopping(id); });
  stopping_.emplace(id, PendingStop{std::move(done), deadline});
  begin_shutdown();
}

void Guest::begin_shutdown() {
  if (shutting_down_) return;
  if (paused_) return put_off_.push_back([this] { begin_shutdown(); });
  ground_.table.set_state(spec_.name(), v1::VM_STATE_STOPPING);
  if (options_.ignore_stop) return print("power button: ignored");
  shutting_down_ = true;
  print("power button: shutting down");
  shut_down_after(options_.stop_delay, v1::EXIT_REASON_HOST_STOP, "the guest shut down when asked");
}

void Guest::give_up_stopping(uint64_t id) {
  const auto pending = take(stopping_, id);
  if (!pending) return;
  if (stopping_.empty() && !shutting_down_ && !paused_) ground_.table.set_state(spec_.name(), v1::VM_STATE_RUNNING);
  pending->done.fail(MVM_ERR_DEADLINE, named("the guest did not shut down in time"));
}

// ---- end

void Guest::end(v1::ExitReason reason, const std::string& detail) {
  if (std::exchange(ended_, true)) return;
  const auto self = shared_from_this();
  for (const Timer& timer : timers_) timer->cancel();
  connections_.close_all();
  if (console_) console_->end();
  ground_.table.remove(spec_.name());
  cancel_open_calls();
  // Who never saw it running is told by boot's completion, and by nothing else (MVM-P11).
  if (running_) announce_exit(reason, detail);
  for (const auto& [id, pending] : std::exchange(stopping_, {})) pending.done.succeed();
  ground_.on_gone(spec_.name());
}

void Guest::cancel_open_calls() {
  const std::string words = named("was stopped meanwhile");
  for (const auto& done : std::exchange(booting_, {})) done.fail(MVM_ERR_CANCELLED, words);
  for (const auto& [id, pending] : std::exchange(connecting_, {})) pending.done.fail(MVM_ERR_CANCELLED, words);
  for (const auto& [id, pending] : std::exchange(delayed_, {})) pending.done.fail(MVM_ERR_CANCELLED, words);
  for (const auto& done : std::exchange(hung_, {})) done.fail(MVM_ERR_CANCELLED, words);
  for (const auto& done : std::exchange(hung_connects_, {})) done.fail(MVM_ERR_CANCELLED, words);
}

void Guest::announce_exit(v1::ExitReason reason, const std::string& detail) {
  v1::VmEvent event;
  event.set_name(spec_.name());
  event.mutable_exited()->set_reason(reason);
  event.mutable_exited()->set_detail(detail);
  ground_.host.event(event.SerializeAsString());
}

}  // namespace mvm::mock
