// SPDX-License-Identifier: Apache-2.0
// One VM, from boot to its end. Lives on its queue; nothing in here waits.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bridge/queue.hpp"
#include "bridge/virtual_machine.hpp"
#include "mvm/host_ports.hpp"
#include "mvm/plugin.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "mvm/vm_table.hpp"

namespace mvm::apple_vz {

// How long the framework, and a guest, may take for what nobody gave a time for.
struct Patience {
  std::chrono::milliseconds graceful_stop{30'000};  // where the request leaves it to us
  std::chrono::milliseconds between_presses{2'000};
  std::chrono::milliseconds unstoppable{1'000};  // until a state is over in which a machine cannot be stopped
  std::chrono::milliseconds stop{10'000};        // until a machine has stopped
  std::chrono::milliseconds transition{10'000};  // until it has paused, or resumed
  std::chrono::milliseconds cause{200};          // from the state that it stopped to the reason why
  std::chrono::milliseconds single_try{2'000};   // until a connection that is tried once is answered
};

class Machine;

// What machines stand on; outlives them.
struct Ground {
  Host host;
  HostPorts host_ports;
  VmTable<v1::VmList> table;
  std::string state_dir;
  Patience patience;
  std::function<void(const Machine& machine)> on_gone;  // the last that a machine does
};

class Machine final : public std::enable_shared_from_this<Machine> {
 public:
  using Delay = std::chrono::milliseconds;

  // spec and plan: checked.
  Machine(Ground& ground, v1::VmSpec spec, MachinePlan plan);

  const std::string& name() const noexcept { return spec_.name(); }
  const std::string& mac() const noexcept { return plan_.mac; }  // [any] empty: no network
  const Queue& queue() const noexcept { return queue_; }         // [any]

  // All of these on the queue.
  void boot(Completion done);
  void stop(bool force, Delay timeout, Completion done);
  void connect(uint32_t port, Delay timeout, const FdCompletion& done);
  void share(const v1::Share& share, const Completion& done);
  void unshare(const std::string& tag, const Completion& done);
  void pause(const Completion& done);
  void resume(const Completion& done);
  // Whether the guest may connect to that port of the host.
  void listen(uint32_t port, bool on);

 private:
  struct PendingStop {
    Completion done;
    Queue::Timer deadline;
  };
  struct PendingConnect {
    uint32_t port;
    bool once;  // nobody gave a time
    FdCompletion done;
    Delay next_pause;
    Queue::Timer deadline;
    Queue::Timer next_try;
  };

  // boot
  Watcher watcher();
  void make_machine();
  void started(const Problem& problem);
  void running();
  void fail_boot(const Error& error);

  // stop
  void begin_shutdown();
  void press_power_button(bool first);
  void give_up_stopping(uint64_t id);
  void force();
  void stop_machine();

  // connect
  void try_connect(uint64_t id);
  void connected(uint64_t id, UniqueFd fd, const Problem& problem);
  void give_up_connecting(uint64_t id);

  // pause
  void hold(bool held, const Completion& done);
  void held(bool held);

  // shares
  std::vector<v1::Share>::iterator find_share(const std::string& tag);
  Problem show(const std::string& tag);
  void shares_changed();

  // what the framework tells
  void look_at_state();
  void end_for_no_reason_known();
  void guest_stopped();
  void end(v1::ExitReason reason, const std::string& detail);
  void finish(v1::ExitReason reason, const std::string& detail);
  void announce_exit(v1::ExitReason reason, const std::string& detail);

  void check_running() const;
  bool is_stopping() const { return forced_ || !stopping_.empty(); }
  v1::VmState state() const;
  void update_state();
  std::string named(const std::string& text) const { return "vm " + spec_.name() + ": " + text; }
  // fn on the queue later, unless the machine is gone by then.
  template <class Fn>
  Queue::Timer after(Delay delay, Fn fn);
  template <class Fn>
  std::function<void()> unless_gone(Fn fn);
  // For one answer of the framework's: fn(answer), or fn(nothing) when it has not come in time. Whichever is first.
  using Answer = std::optional<Problem>;
  VirtualMachine::Done answer_within(Delay patience, std::function<void(const Answer& answer)> fn);

  Ground& ground_;
  const v1::VmSpec spec_;
  MachinePlan plan_;
  const Queue queue_;
  std::unique_ptr<VirtualMachine> vm_;
  std::vector<Completion> booting_;  // one, or none
  std::optional<Error> boot_error_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, PendingStop> stopping_;
  std::map<uint64_t, PendingConnect> connecting_;
  std::vector<Completion> holding_;  // a pause or resume is under way
  std::vector<v1::Share> shares_;    // in force
  std::set<std::string> own_devices_;
  Queue::Timer next_press_;
  Queue::Timer last_patience_;
  Queue::Timer no_cause_;
  bool start_answered_ = false;
  bool running_ = false;  // or held
  bool held_ = false;
  bool forced_ = false;
  bool stop_sent_ = false;
  bool ending_ = false;
  bool ended_ = false;
};

}  // namespace mvm::apple_vz
