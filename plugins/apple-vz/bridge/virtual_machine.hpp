// SPDX-License-Identifier: Apache-2.0
// A VZVirtualMachine in standard types: each function is its namesake of the framework. All of it on the machine's
// queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "framework_error.hpp"
#include "machine_plan.hpp"
#include "mvm/hypervisor.hpp"
#include "queue.hpp"

namespace mvm::apple_vz {

// What the framework tells by itself, on the queue; nothing after the VirtualMachine is gone.
struct Watcher {
  std::function<void()> on_state;                       // it changed: ask
  std::function<void()> on_guest_stopped;               // the guest shut down
  std::function<void(const FrameworkError&)> on_error;  // the machine is gone
  std::function<void(const FrameworkError&)> on_network_lost;
  // The guest connects to a port of the host that listen() named. True: the descriptor was taken.
  std::function<bool(uint32_t port, UniqueFd& fd)> on_guest_connect;
};

class VirtualMachine {
 public:
  enum class State { stopped, running, paused, error, starting, pausing, resuming, stopping, other };

  // The answer to a call, on the queue: at most once, for the framework may never answer.
  using Done = std::function<void(const Problem& problem)>;
  using Connected = std::function<void(UniqueFd fd, const Problem& problem)>;

  // Throws FrameworkFailure: the plan is not valid here.
  VirtualMachine(Queue queue, const MachinePlan& plan, Watcher watcher);
  // The guest, if there is one still, ends with it.
  ~VirtualMachine();
  VirtualMachine(const VirtualMachine&) = delete;
  VirtualMachine& operator=(const VirtualMachine&) = delete;

  State state() const;
  bool can_request_stop() const;
  bool can_stop() const;
  bool can_pause() const;
  bool can_resume() const;

  void start(const Done& done);
  Problem request_stop();  // the power button
  void stop(const Done& done);
  void pause(const Done& done);
  void resume(const Done& done);

  // The descriptor is the receiver's own: close-on-exec, and without SIGPIPE where the system can.
  void connect(uint32_t port, const Connected& connected);
  Problem listen(uint32_t port);
  Problem ignore(uint32_t port);

  // Replaces what a device shows: of a device of its own (empty: nothing), or of the one that shows several.
  Problem share_alone(const std::string& tag, const Directory* directory);
  Problem share_under(const std::string& tag, const std::vector<Directory>& directories);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mvm::apple_vz
