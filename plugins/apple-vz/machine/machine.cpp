// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include <algorithm>
#include <utility>

#include "failure.hpp"
#include "spec_check.hpp"

namespace mvm::apple_vz {
namespace {

// Between two tries of a port that nobody listens on yet: the framework does not tell when somebody does.
constexpr std::chrono::milliseconds first_pause{4};
constexpr std::chrono::milliseconds longest_pause{50};

Queue::OnProblem to_log(Host host, const std::string& name) {
  return [host, name](const std::string& what) { host.log(MVM_LOG_ERROR, "vm " + name + ": " + what); };
}

Directory directory_of(const v1::Share& share) { return {share.tag(), share.path(), share.read_only()}; }

std::string port_named(uint32_t port) { return "vsock port " + std::to_string(port); }

bool is_over(VirtualMachine::State state) {
  return state == VirtualMachine::State::stopped || state == VirtualMachine::State::error;
}

}  // namespace

Machine::Machine(Ground& ground, v1::VmSpec spec, MachinePlan plan)
    : ground_(ground),
      spec_(std::move(spec)),
      plan_(std::move(plan)),
      queue_("org.mvmhost.apple-vz." + spec_.name(), to_log(ground.host, spec_.name())),
      shares_(spec_.shares().begin(), spec_.shares().end()) {
  for (const v1::Share& share : spec_.shares()) own_devices_.insert(share.tag());
}

template <class Fn>
std::function<void()> Machine::unless_gone(Fn fn) {
  return [weak = weak_from_this(), fn = std::move(fn)] {
    const auto self = weak.lock();
    if (self && !self->ended_) fn();
  };
}

template <class Fn>
Queue::Timer Machine::after(Delay delay, Fn fn) {
  return queue_.after(delay, unless_gone(std::move(fn)));
}

VirtualMachine::Done Machine::answer_within(Delay patience, std::function<void(const Answer& answer)> fn) {
  struct Waiting {
    std::function<void(const Answer& answer)> fn;
    Queue::Timer timer;
  };
  auto waiting = std::make_shared<Waiting>();
  waiting->fn = std::move(fn);
  // The timer's block holds who waits only as long as somebody does.
  waiting->timer = after(patience, [weak = std::weak_ptr(waiting)] {
    const auto late = weak.lock();
    if (!late || !late->fn) return;
    std::exchange(late->fn, nullptr)(std::nullopt);
  });
  return [waiting, weak = weak_from_this()](const Problem& problem) {
    const auto self = weak.lock();
    if (!self || self->ended_ || !waiting->fn) return;
    waiting->timer.cancel();
    std::exchange(waiting->fn, nullptr)(problem);
  };
}

// ---- boot

void Machine::boot(Completion done) {
  booting_.push_back(std::move(done));
  try {
    make_machine();
  } catch (const FrameworkFailure& failure) {
    return fail_boot(explain(named("cannot be made as asked"), failure.error()));
  } catch (const Error& e) {
    return fail_boot(e);
  } catch (const std::exception& e) {
    return fail_boot(Error(MVM_ERR_INTERNAL, named(e.what())));
  }
  for (const uint32_t port : ground_.host_ports.ports()) listen(port, true);
  vm_->start([weak = weak_from_this()](const Problem& problem) {
    if (const auto self = weak.lock()) self->started(problem);
  });
}

void Machine::make_machine() {
  UniqueFd console;
  try {
    console = ground_.host.console_open(spec_.name());
  } catch (const Error& e) {
    if (e.status() != MVM_ERR_UNSUPPORTED) throw;  // a host without consoles is one
  }
  plan_.console = console.get();
  vm_ = std::make_unique<VirtualMachine>(queue_, plan_, watcher());
  plan_.console = -1;
}

// Posted, but for the guest's connections: what they do may end the machine, which must not go in its own call.
Watcher Machine::watcher() {
  const auto weak = weak_from_this();
  const auto post = [weak](auto fn) {
    if (const auto self = weak.lock()) self->queue_.post(self->unless_gone([weak, fn] { fn(*weak.lock()); }));
  };
  Watcher watcher;
  watcher.on_state = [post] { post([](Machine& m) { m.look_at_state(); }); };
  watcher.on_guest_stopped = [post] { post([](Machine& m) { m.guest_stopped(); }); };
  watcher.on_error = [post](const FrameworkError& error) {
    post([words = words_of(error)](Machine& m) { m.end(v1::EXIT_REASON_ERROR, words); });
  };
  watcher.on_network_lost = [post](const FrameworkError& error) {
    post([words = words_of(error)](Machine& m) {
      m.ground_.host.log(MVM_LOG_ERROR, m.named("lost its network until it is booted again: " + words));
    });
  };
  watcher.on_guest_connect = [weak](uint32_t port, UniqueFd& fd) {
    const auto self = weak.lock();
    return self && !self->ended_ && self->ground_.host_ports.offer(port, fd);
  };
  return watcher;
}

void Machine::started(const Problem& problem) {
  if (ended_ || ending_ || std::exchange(start_answered_, true)) return;
  last_patience_.cancel();
  if (forced_) return problem ? end(v1::EXIT_REASON_HOST_STOP, "") : stop_machine();
  if (problem) return fail_boot(explain(named("could not be started"), *problem));
  running();
}

void Machine::running() {
  running_ = true;
  update_state();
  for (const Completion& done : std::exchange(booting_, {})) {
    done.succeed(ground_.table.get(name()).SerializeAsString());
  }
}

void Machine::fail_boot(const Error& error) {
  boot_error_.emplace(error);
  end(v1::EXIT_REASON_ERROR, error.what());
}

// ---- stop

void Machine::stop(bool force_it, Delay timeout, Completion done) {
  if (ended_) return done.fail(MVM_ERR_NOT_FOUND, named("is not running"));
  const uint64_t id = ++last_id_;
  if (force_it || !running_) {
    stopping_.emplace(id, PendingStop{std::move(done), {}});
    return force();
  }
  const Delay limit = timeout.count() == 0 ? ground_.patience.graceful_stop : timeout;
  const bool first = stopping_.empty();
  stopping_.emplace(id, PendingStop{std::move(done), after(limit, [this, id] { give_up_stopping(id); })});
  update_state();
  if (first) begin_shutdown();
}

void Machine::begin_shutdown() {
  if (!held_) return press_power_button(true);
  // It could not hear. Resumed or not: what then cannot be asked is stopped.
  hold(false, Completion([weak = weak_from_this()](mvm_status, Bytes, Bytes) {
         const auto self = weak.lock();
         if (self && !self->ended_ && !self->stopping_.empty()) self->press_power_button(true);
       }));
}

// Again and again: a guest hears it only once somebody there listens for it, so one that is still on its way up gets
// another chance.
void Machine::press_power_button(bool first) {
  Problem problem;
  if (vm_->can_request_stop()) {
    problem = vm_->request_stop();
  } else if (first) {
    problem = FrameworkError{"mvm", 0, "the guest cannot be asked in this state", "", {}};
  }
  if (problem && first) {
    ground_.host.log(MVM_LOG_WARN, named("is stopped without asking the guest: " + words_of(*problem)));
    return force();
  }
  next_press_ = after(ground_.patience.between_presses, [this] {
    if (!stopping_.empty()) press_power_button(false);
  });
}

void Machine::give_up_stopping(uint64_t id) {
  auto node = stopping_.extract(id);
  if (node.empty()) return;
  if (forced_) {
    stopping_.insert(std::move(node));  // its end is near, and bounded
    return;
  }
  update_state();
  node.mapped().done.fail(MVM_ERR_DEADLINE, named("the guest did not shut down in time"));
}

void Machine::force() {
  if (std::exchange(forced_, true)) return;
  update_state();
  if (ending_) return;
  if (!vm_) return end(v1::EXIT_REASON_HOST_STOP, "");
  if (start_answered_) return stop_machine();
  // A machine that starts can be neither stopped nor, yet, be known to run: started() goes on.
  last_patience_ = after(ground_.patience.unstoppable, [this] {
    ground_.host.log(MVM_LOG_WARN, named("is let go while it starts: the framework has not answered"));
    end(v1::EXIT_REASON_HOST_STOP, "");
  });
}

void Machine::stop_machine() {
  if (is_over(vm_->state())) return end(v1::EXIT_REASON_HOST_STOP, "stopped by force");
  if (!vm_->can_stop()) {  // it pauses, or resumes: look_at_state() goes on
    last_patience_ = after(ground_.patience.unstoppable, [this] {
      end(v1::EXIT_REASON_HOST_STOP, "let go while it was being paused or resumed: the framework has not answered");
    });
    return;
  }
  if (std::exchange(stop_sent_, true)) return;
  last_patience_.cancel();
  vm_->stop(answer_within(ground_.patience.stop, [this](const Answer& answer) {
    if (answer && !*answer) return end(v1::EXIT_REASON_HOST_STOP, "stopped by force");
    const std::string why = answer ? words_of(**answer) : "the framework has not answered in time";
    ground_.host.log(MVM_LOG_WARN, named("is let go, for it could not be stopped: " + why));
    end(v1::EXIT_REASON_HOST_STOP, "let go: " + why);
  }));
}

// ---- vsock

void Machine::check_running() const {
  if (!running_ || forced_ || ending_ || ended_) throw Error(MVM_ERR_BUSY, named("is not running"));
}

void Machine::connect(uint32_t port, Delay timeout, const FdCompletion& done) {
  check_running();
  const bool once = timeout.count() == 0;
  if (once && held_) throw Error(MVM_ERR_BUSY, port_named(port) + ": the guest is paused");
  const uint64_t id = ++last_id_;
  PendingConnect pending{port, once, done, first_pause, {}, {}};
  pending.deadline = after(once ? ground_.patience.single_try : timeout, [this, id] { give_up_connecting(id); });
  connecting_.emplace(id, std::move(pending));
  try_connect(id);
}

void Machine::try_connect(uint64_t id) {
  if (held_) return;  // when it is resumed
  vm_->connect(connecting_.at(id).port, [weak = weak_from_this(), id](UniqueFd fd, const Problem& problem) {
    // Too late, and the descriptor goes: the guest sees an end.
    if (const auto self = weak.lock(); self && !self->ended_) self->connected(id, std::move(fd), problem);
  });
}

void Machine::connected(uint64_t id, UniqueFd fd, const Problem& problem) {
  const auto found = connecting_.find(id);
  if (found == connecting_.end()) return;
  PendingConnect& pending = found->second;
  if (problem && (forced_ || ending_)) return;  // the end answers it
  if (problem && nobody_listens(*problem) && !pending.once) {
    pending.next_try = after(pending.next_pause, [this, id] { try_connect(id); });
    pending.next_pause = std::min(pending.next_pause * 2, longest_pause);
    return;
  }
  auto node = connecting_.extract(found);
  const std::string subject = port_named(pending.port);
  const FdCompletion& done = node.mapped().done;
  if (!problem) return done.succeed(std::move(fd));
  if (nobody_listens(*problem)) return done.fail(MVM_ERR_REFUSED, subject + ": nobody listens there in the guest");
  const Error error = explain(subject, *problem);
  done.fail(error.status(), error.what());
}

void Machine::give_up_connecting(uint64_t id) {
  auto node = connecting_.extract(id);
  if (node.empty()) return;
  const PendingConnect& pending = node.mapped();
  const std::string subject = port_named(pending.port);
  if (pending.once) return pending.done.fail(MVM_ERR_REFUSED, subject + ": the guest gave no answer");
  pending.done.fail(MVM_ERR_DEADLINE, subject + ": nobody listens there in the guest, and time is up");
}

void Machine::listen(uint32_t port, bool on) {
  if (!vm_ || ending_) return;
  if (const Problem problem = on ? vm_->listen(port) : vm_->ignore(port)) {
    ground_.host.log(MVM_LOG_ERROR, named(port_named(port) + " of the host: " + words_of(*problem)));
  }
}

// ---- shares

void Machine::share(const v1::Share& share, const Completion& done) {
  check_running();
  if (find_share(share.tag()) != shares_.end()) {
    throw Error(MVM_ERR_BUSY, "share " + share.tag() + ": this tag is in use");
  }
  shares_.push_back(share);
  if (const Problem problem = show(share.tag())) {
    shares_.pop_back();
    throw explain("share " + share.tag(), *problem);
  }
  shares_changed();
  done.succeed();
}

void Machine::unshare(const std::string& tag, const Completion& done) {
  check_running();
  const auto found = find_share(tag);
  if (found == shares_.end()) throw Error(MVM_ERR_NOT_FOUND, "share " + tag + ": there is none");
  const v1::Share taken = *found;
  shares_.erase(found);
  if (const Problem problem = show(tag)) {
    shares_.push_back(taken);
    throw explain("share " + tag, *problem);
  }
  shares_changed();
  done.succeed();
}

std::vector<v1::Share>::iterator Machine::find_share(const std::string& tag) {
  return std::find_if(shares_.begin(), shares_.end(), [&](const v1::Share& share) { return share.tag() == tag; });
}

// What is in force under that tag, after it changed: a device of its own, or the one for all that came later.
Problem Machine::show(const std::string& tag) {
  if (own_devices_.contains(tag)) {
    const auto found = find_share(tag);
    if (found == shares_.end()) return vm_->share_alone(tag, nullptr);
    const Directory directory = directory_of(*found);
    return vm_->share_alone(tag, &directory);
  }
  std::vector<Directory> live;
  for (const v1::Share& share : shares_) {
    if (!own_devices_.contains(share.tag())) live.push_back(directory_of(share));
  }
  return vm_->share_under(live_tag, live);
}

void Machine::shares_changed() { ground_.table.set_shares(name(), shares_); }

// ---- pause

void Machine::pause(const Completion& done) {
  check_running();
  hold(true, done);
}

void Machine::resume(const Completion& done) {
  check_running();
  hold(false, done);
}

void Machine::hold(bool to_hold, const Completion& done) {
  if (held_ == to_hold && holding_.empty()) return done.succeed();
  if (!holding_.empty() || !(to_hold ? vm_->can_pause() : vm_->can_resume())) {
    return done.fail(MVM_ERR_BUSY, named(to_hold ? "cannot be paused now" : "cannot be resumed now"));
  }
  holding_.push_back(done);
  const auto answered = answer_within(ground_.patience.transition, [this, to_hold](const Answer& answer) {
    const auto waiting = std::exchange(holding_, {});
    if (answer && !*answer) held(to_hold);
    const std::string what = named(to_hold ? "could not be paused" : "could not be resumed");
    for (const Completion& one : waiting) {
      if (!answer) {
        one.fail(MVM_ERR_DEADLINE, what + ": the framework has not answered in time");
      } else if (*answer) {
        const Error error = explain(what, **answer);
        one.fail(error.status(), error.what());
      } else {
        one.succeed();
      }
    }
  });
  to_hold ? vm_->pause(answered) : vm_->resume(answered);
}

void Machine::held(bool now_held) {
  held_ = now_held;
  update_state();
  if (held_) return;
  for (auto& [id, pending] : connecting_) {
    pending.next_pause = first_pause;
    pending.next_try = after(Delay(0), [this, id = id] { try_connect(id); });
  }
}

// ---- the end

void Machine::look_at_state() {
  if (!vm_ || ending_) return;
  const bool over = is_over(vm_->state());
  if (forced_ && start_answered_ && (over || !stop_sent_)) return stop_machine();
  if (running_ && over) no_cause_ = after(ground_.patience.cause, [this] { end_for_no_reason_known(); });
}

void Machine::end_for_no_reason_known() {
  if (is_stopping()) return end(v1::EXIT_REASON_HOST_STOP, "the guest shut down");
  end(v1::EXIT_REASON_ERROR, "the framework stopped the machine, and does not say why");
}

void Machine::guest_stopped() {
  if (is_stopping()) return end(v1::EXIT_REASON_HOST_STOP, "the guest shut down");
  end(v1::EXIT_REASON_GUEST_SHUTDOWN, "the guest powered itself off");
}

// Later: the machine must not go within one of its own calls.
void Machine::end(v1::ExitReason reason, const std::string& detail) {
  if (std::exchange(ending_, true)) return;
  queue_.post([self = shared_from_this(), reason, detail] { self->finish(reason, detail); });
}

void Machine::finish(v1::ExitReason reason, const std::string& detail) {
  const bool ran = booting_.empty();
  ended_ = true;
  next_press_.cancel();
  last_patience_.cancel();
  no_cause_.cancel();
  for (auto& [id, pending] : std::exchange(connecting_, {})) {
    pending.done.fail(MVM_ERR_CANCELLED, named("was stopped meanwhile"));
  }
  for (const Completion& done : std::exchange(holding_, {})) {
    done.fail(MVM_ERR_CANCELLED, named("was stopped meanwhile"));
  }
  vm_.reset();
  ground_.table.remove(name());
  Error error(MVM_ERR_CANCELLED, named("was stopped meanwhile"));
  if (boot_error_ && !forced_) error = *boot_error_;
  // Who never saw it running is told by boot's completion, and by nothing else (MVM-P11).
  for (const Completion& done : std::exchange(booting_, {})) done.fail(error.status(), error.what());
  if (ran) announce_exit(reason, detail);
  for (const auto& [id, pending] : std::exchange(stopping_, {})) pending.done.succeed();
  ground_.on_gone(*this);
}

void Machine::announce_exit(v1::ExitReason reason, const std::string& detail) {
  v1::VmEvent event;
  event.set_name(name());
  event.mutable_exited()->set_reason(reason);
  event.mutable_exited()->set_detail(detail);
  ground_.host.event(event.SerializeAsString());
}

v1::VmState Machine::state() const {
  if (!running_) return v1::VM_STATE_STARTING;
  if (is_stopping()) return v1::VM_STATE_STOPPING;
  return held_ ? v1::VM_STATE_PAUSED : v1::VM_STATE_RUNNING;
}

void Machine::update_state() { ground_.table.set_state(name(), state()); }

}  // namespace mvm::apple_vz
