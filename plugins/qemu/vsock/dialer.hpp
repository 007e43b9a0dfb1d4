// SPDX-License-Identifier: Apache-2.0
// Connects that are under way: each is tried until somebody in the guest listens, its time is over, or the device ends.
// While a guest's driver isn't up nothing is tried, and nothing wakes up before the deadline.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <string>

#include "mvm/hypervisor.hpp"
#include "vsock/timers.hpp"
#include "vsock/vsock_connection.hpp"
#include "vsock/vsock_limits.hpp"

namespace mvm::qemu {

struct Dial {
  Dial(uint32_t to, std::chrono::milliseconds time, FdCompletion fn) : port(to), timeout(time), done(std::move(fn)) {}

  const uint32_t port;
  const std::chrono::milliseconds timeout;  // 0: one try
  const FdCompletion done;
  std::list<Dial>::iterator self;
  Connection* attempt = nullptr;  // the REQUEST that is under way
  bool refused = false;           // once at least
  std::chrono::milliseconds pause{0};
  Timers::Timer retry;
  Timers::Timer deadline;

  bool once() const noexcept { return timeout.count() == 0; }
};

class Dialer {
 public:
  // What carries the attempts.
  class Line {
   public:
    virtual bool driver_up() const = 0;
    virtual bool paused() const = 0;
    // Sends a REQUEST for it. Throws mvm::Error when there can be no more connections.
    virtual Connection& request(Dial& dial) = 0;
    // Gives an attempt up that was not answered.
    virtual void abandon(Connection& attempt) = 0;
    virtual TimePoint now() const = 0;

   protected:
    ~Line() = default;
  };

  Dialer(Line& line, Timers& timers, const VsockLimits& limits) : line_(line), timers_(timers), limits_(limits) {}

  void dial(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done);

  // -- what became of an attempt, which is no longer the dial's then
  void answered(Dial& dial, UniqueFd stream);
  void refused(Dial& dial);
  void failed(Dial& dial, const Error& error);
  void lost(Dial& dial);  // the guest's driver went meanwhile

  void driver_came();
  void cancel_all(const std::string& why);
  bool idle() const noexcept { return dials_.empty(); }

 private:
  void try_now(Dial& dial);
  void without_driver(Dial& dial);
  void expired(Dial& dial);
  void fail(Dial& dial, mvm_status status, const std::string& why);
  FdCompletion take(Dial& dial);

  Line& line_;
  Timers& timers_;
  const VsockLimits limits_;
  std::list<Dial> dials_;
};

}  // namespace mvm::qemu
