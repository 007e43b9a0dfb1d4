// SPDX-License-Identifier: Apache-2.0
// The vsock device without a thread: QEMU's messages, the rings, the sockets and the timers meet in step(), which does
// a bounded amount of each and says whether there is more. All on one thread, but what is marked [any thread].
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "vsock/dialer.hpp"
#include "vsock/guest_log.hpp"
#include "vsock/rx_batch.hpp"
#include "vsock/timers.hpp"
#include "vsock/vhost_session.hpp"
#include "vsock/vsock_limits.hpp"
#include "vsock/vsock_streams.hpp"

namespace mvm::qemu {

class VsockEngine final : private VhostSession::Listener, private Dialer::Line {
 public:
  struct Config {
    uint64_t guest_cid = 3;
    VsockLimits limits = {};
    GuestLog::Fn log;
    std::function<TimePoint()> clock = [] { return std::chrono::steady_clock::now(); };
  };

  // Throws mvm::Error.
  VsockEngine(UniqueFd vhost_user, Config config);
  ~VsockEngine();  // what is open ends: streams are closed, connects are cancelled

  // Handles what has happened, after waiting for something to happen if `wait`.
  void step(bool wait);

  // [any thread] Has `task` run within a step, which wakes up for it.
  void post(std::function<void()> task);

  void connect(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done);
  void drop_connections() { streams_.drop_all(); }
  void set_paused(bool paused) { paused_ = paused; }
  // [any thread]
  void set_on_guest_connect(VsockStreams::OnGuestConnect fn) { streams_.set_on_guest_connect(std::move(fn)); }

  // Ends everything, with the reason that connects are told; also when QEMU goes.
  void end(const std::string& why);

  size_t connections() const noexcept { return streams_.size(); }

 private:
  enum class Sent { something, nothing, no_room };

  bool kick_added(Queue queue, int fd) override;
  void kick_removed(Queue queue, int fd) noexcept override;
  void driver_reset() override;
  void note(std::string_view what) override;
  bool driver_up() const override { return !ended() && session_.driver_up(); }
  bool paused() const override { return paused_; }
  Connection& request(Dial& dial) override { return streams_.request(dial); }
  void abandon(Connection& attempt) override { streams_.abandon(attempt); }
  TimePoint now() const override { return now_; }

  bool ended() const noexcept { return !ended_because_.empty(); }
  int wait_ms() const;
  void dispatch(uint64_t source, uint32_t events);
  void run_tasks();
  void hear_front_end();
  void settle_driver();
  void settle_faults();

  void take_from_guest();
  void take_packet(Chain& chain);
  void give_to_guest();
  Sent give_next();
  Sent give_control();
  Sent give_data();
  void publish(Queue queue);

  const Config config_;
  UniqueFd epoll_;
  UniqueFd wake_;
  Timers timers_;
  TimePoint now_;
  GuestLog log_;
  VsockStreams streams_;
  Dialer dialer_;
  std::string ended_because_;
  bool paused_ = false;
  bool driver_was_up_ = false;
  bool more_to_take_ = false;
  bool more_to_give_ = false;
  VhostSession session_;
  Chain chain_;
  RxBatch batch_;

  std::mutex tasks_mutex_;
  std::vector<std::function<void()>> tasks_;
};

}  // namespace mvm::qemu
