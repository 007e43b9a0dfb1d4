// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include <utility>

#include "overlay.hpp"
#include "socket_pair.hpp"
#include "spec_check.hpp"

namespace mvm::qemu {
namespace {

using nlohmann::json;

// How long a graceful stop may take when the request leaves it to us.
constexpr std::chrono::seconds default_stop_timeout{30};

// A guest hears the power button only once somebody there listens for it: one that was still on its way up gets a
// second chance.
constexpr std::chrono::seconds between_presses{2};

}  // namespace

Machine::Machine(Ground& ground, Plan plan)
    : ground_(ground),
      plan_(std::move(plan)),
      accelerators_(ground.loop, ground.host, ground.accelerators),
      shares_({ground.loop, ground.host, ground.state_dir, plan_.sharing,
               [this] { ground_.table.set_shares(plan_.spec.name(), shares_.in_force()); }}) {}

template <class Fn>
std::shared_ptr<boost::asio::steady_timer> Machine::after(Delay delay, Fn fn) {
  auto timer = std::make_shared<boost::asio::steady_timer>(ground_.loop, delay);
  timer->async_wait([weak = weak_from_this(), timer, fn = std::move(fn)](const boost::system::error_code& cancelled) {
    const auto self = weak.lock();
    if (!cancelled && self && !self->ended_) fn();
  });
  return timer;
}

// ---- boot

void Machine::boot(Completion done) {
  booting_.push_back(std::move(done));
  or_fail_boot([this] {
    make_overlays(plan_.spec);
    open_console();
    LaunchFacts facts;
    facts.program = plan_.program;
    accelerators_.choose(plan_.options.accelerator, facts, plan_.spec.kernel(),
                         [this](Accelerator chosen) { or_fail_boot([this, chosen] { launch(chosen); }); });
  });
}

template <class Fn>
void Machine::or_fail_boot(Fn fn) {
  try {
    fn();
  } catch (const Error& e) {
    fail_boot(e);
  } catch (const std::exception& e) {
    fail_boot(Error(MVM_ERR_INTERNAL, named(e.what())));
  }
}

void Machine::open_console() {
  try {
    console_ = ground_.host.console_open(plan_.spec.name());
  } catch (const Error& e) {
    if (e.status() != MVM_ERR_UNSUPPORTED) throw;  // a host without consoles is one
  }
}

void Machine::launch(Accelerator accelerator) {
  LaunchFacts facts;
  facts.program = plan_.program;
  facts.accelerator = accelerator;
  facts.block_devices = block_devices(plan_.spec);
  facts.console = static_cast<bool>(console_);
  SocketPair vsock = make_socket_pair();
  start_vsock(std::move(vsock.ours));
  std::vector<std::pair<int, int>> descriptors{{vsock.theirs.get(), vsock_descriptor}};
  if (console_) descriptors.emplace_back(console_.get(), console_descriptor);
  qemu_ = QemuProcess::start(ground_.loop, command_line(plan_.spec, facts), std::move(descriptors),
                             {[this] { add_boot_shares(0); }, [this](const QmpEvent& event) { take_event(event); },
                              [self = shared_from_this()](const QemuEnd& end) { self->qemu_gone(end); }},
                             ground_.patience);
  console_.reset();
  shares_.plug_into(qemu_);
  ground_.table.change(plan_.spec.name(), [pid = qemu_->pid()](v1::VmInfo& vm) { vm.set_hypervisor_pid(pid); });
  ground_.host.log(MVM_LOG_INFO, named("QEMU with " + std::string(name_of(accelerator)) + ", process " +
                                       std::to_string(qemu_->pid())));
}

void Machine::start_vsock(UniqueFd front_end) {
  VsockDevice::Config config;
  config.guest_cid = guest_cid;
  config.log = [host = ground_.host, prefix = named("")](int32_t level, std::string_view message) {
    host.log(level, prefix + std::string(message));
  };
  vsock_ = VsockDevice::start(std::move(front_end), std::move(config));
  vsock_->set_on_guest_connect(
      [ports = &ground_.host_ports](uint32_t port, UniqueFd& fd) { return ports->offer(port, fd); });
}

// One after the other; the same way as while the guest runs.
void Machine::add_boot_shares(int next) {
  if (next == plan_.spec.shares_size()) return let_run();
  const Completion added([weak = weak_from_this(), next](mvm_status status, Bytes, Bytes error) {
    const auto self = weak.lock();
    if (!self || self->ended_ || status == MVM_ERR_CANCELLED) return;
    if (status == MVM_OK) return self->add_boot_shares(next + 1);
    self->fail_boot(Error(status, std::string(error)));
  });
  try {
    shares_.add(plan_.spec.shares(next), added);
  } catch (...) {
    added.fail_with_current_exception();
  }
}

void Machine::let_run() {
  qemu_->execute("cont", json::object(), [this](const QmpReply& reply) {
    if (reply.gone || boot_error_ || forced_) return;
    if (!reply.ok) return fail_boot(Error(MVM_ERR_INTERNAL, named("QEMU does not let it run: " + reply.error)));
    running();
  });
}

void Machine::running() {
  running_ = true;
  update_state();
  for (const Completion& done : std::exchange(booting_, {})) {
    done.succeed(ground_.table.get(plan_.spec.name()).SerializeAsString());
  }
}

// Whatever was begun goes first: a boot that failed leaves nothing behind.
void Machine::fail_boot(const Error& error) {
  if (ended_ || boot_error_) return;
  boot_error_.emplace(error);
  if (!qemu_) {
    fail_open_boot(nullptr);
    return finish();
  }
  qemu_->kill("");
}

// ---- stop

void Machine::stop(bool force_it, Delay timeout, Completion done) {
  const uint64_t id = ++last_id_;
  if (force_it || !running_) {
    stopping_.emplace(id, PendingStop{std::move(done), {}});
    return force();
  }
  const auto deadline =
      after(timeout.count() == 0 ? default_stop_timeout : timeout, [this, id] { give_up_stopping(id); });
  stopping_.emplace(id, PendingStop{std::move(done), deadline});
  update_state();
  if (stopping_.size() == 1) begin_shutdown();
}

void Machine::begin_shutdown() {
  if (held_) hold(false, Completion([](mvm_status, Bytes, Bytes) {}));  // it could not hear
  press_power_button();
}

// Again and again: a guest that is still booting, or whose button nobody has open yet, hears none.
void Machine::press_power_button() {
  qemu_->execute("system_powerdown", json::object(), [](const QmpReply&) {});
  next_press_ = after(between_presses, [this] {
    if (!stopping_.empty()) press_power_button();
  });
}

void Machine::give_up_stopping(uint64_t id) {
  auto node = stopping_.extract(id);
  if (node.empty() || forced_) return;
  update_state();
  node.mapped().done.fail(MVM_ERR_DEADLINE, named("the guest did not shut down in time"));
}

void Machine::force() {
  if (std::exchange(forced_, true)) return;
  update_state();
  if (!qemu_) {
    fail_open_boot(nullptr);
    return finish();
  }
  // What never ran has nothing to write back.
  running_ ? qemu_->quit() : qemu_->kill("");
}

// ---- while it runs

void Machine::check_running() const {
  if (!running_ || forced_) throw Error(MVM_ERR_BUSY, named("is not running"));
}

void Machine::connect(uint32_t port, Delay timeout, const FdCompletion& done) {
  check_running();
  vsock_->connect(port, timeout, done);
}

void Machine::share(const v1::Share& share, Completion done) {
  check_running();
  shares_.add(share, std::move(done));
}

void Machine::unshare(const std::string& tag, Completion done) {
  check_running();
  if (held_) throw Error(MVM_ERR_BUSY, "share " + tag + ": the guest is paused, and cannot let go of it");
  shares_.remove(tag, std::move(done));
}

void Machine::pause(Completion done) {
  check_running();
  hold(true, done);
}

void Machine::resume(Completion done) {
  check_running();
  hold(false, done);
}

void Machine::hold(bool held, const Completion& done) {
  holding_ = true;
  qemu_->execute(held ? "stop" : "cont", json::object(), [this, held, done](const QmpReply& reply) {
    holding_ = false;
    if (reply.gone) return done.fail(MVM_ERR_CANCELLED, named("was stopped meanwhile"));
    if (!reply.ok) return done.fail(MVM_ERR_INTERNAL, named("QEMU refused: " + reply.error));
    set_held(held);
    done.succeed();
  });
}

void Machine::set_held(bool held) {
  held_ = held;
  if (vsock_) vsock_->set_paused(held);
  update_state();
}

void Machine::take_event(const QmpEvent& event) {
  shares_.take_event(event);
  if (event.name == "RESET" && vsock_) vsock_->drop_connections();
  if (event.name == "STOP" && !holding_ && running_) look_why_it_stopped();
  if (event.name == "BLOCK_IO_ERROR") {
    ground_.host.log(MVM_LOG_ERROR,
                     named("disk " + event.data.value("node-name", "") + ": " + event.data.value("operation", "") +
                           " failed on the host: " + event.data.value("reason", "") + "; the guest was told"));
  }
}

// QEMU holds a guest that it cannot run on (KVM: an instruction that it does not know), and waits for somebody to look.
void Machine::look_why_it_stopped() {
  qemu_->execute("query-status", json::object(), [this](const QmpReply& reply) {
    if (!reply.ok || !reply.value.is_object()) return;
    const std::string status = reply.value.value("status", "");
    if (status == "internal-error" || status == "io-error")
      qemu_->kill("could not run the guest any further: " + status);
  });
}

v1::VmState Machine::state() const {
  if (!running_) return v1::VM_STATE_STARTING;
  if (forced_ || !stopping_.empty()) return v1::VM_STATE_STOPPING;
  return held_ ? v1::VM_STATE_PAUSED : v1::VM_STATE_RUNNING;
}

void Machine::update_state() { ground_.table.set_state(plan_.spec.name(), state()); }

// ---- the end

void Machine::qemu_gone(const QemuEnd& end) {
  if (running_) {
    ended_ = true;
    const ExitCause cause = explain_exit(end, forced_ || !stopping_.empty());
    shares_.cancel("the VM ended");
    vsock_.reset();
    ground_.table.remove(plan_.spec.name());
    announce_exit(cause);
  } else {
    fail_open_boot(&end);
  }
  finish();
}

// Who never saw it running is told by boot's completion, and by nothing else (MVM-P11).
void Machine::fail_open_boot(const QemuEnd* end) {
  ended_ = true;
  shares_.cancel("the VM did not come up");
  vsock_.reset();
  ground_.table.remove(plan_.spec.name());
  Error error = Error(MVM_ERR_CANCELLED, named("was stopped meanwhile"));
  if (boot_error_ && !forced_) error = *boot_error_;
  if (!boot_error_ && !forced_ && end != nullptr) error = explain_failed_start(plan_.spec, *end);
  for (const Completion& done : std::exchange(booting_, {})) done.fail(error.status(), error.what());
}

void Machine::announce_exit(const ExitCause& cause) {
  v1::VmEvent event;
  event.set_name(plan_.spec.name());
  event.mutable_exited()->set_reason(cause.reason);
  event.mutable_exited()->set_detail(cause.detail);
  ground_.host.event(event.SerializeAsString());
}

void Machine::finish() {
  const auto self = shared_from_this();
  accelerators_.cancel();
  console_.reset();
  qemu_.reset();
  if (next_press_) next_press_->cancel();
  for (const auto& [id, pending] : std::exchange(stopping_, {})) {
    if (pending.deadline) pending.deadline->cancel();
    pending.done.succeed();
  }
  ground_.on_gone(plan_.spec.name());
}

}  // namespace mvm::qemu
