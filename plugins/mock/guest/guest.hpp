// SPDX-License-Identifier: Apache-2.0
// One simulated VM, from boot to its end. Lives on the loop's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "connection.hpp"
#include "console.hpp"
#include "guest_services.hpp"
#include "mvm/host_ports.hpp"
#include "mvm/plugin.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "mvm/vm_table.hpp"
#include "options.hpp"
#include "shares.hpp"

namespace mvm::mock {

// What guests stand on; outlives them.
struct Ground {
  boost::asio::io_context& loop;
  Host host;
  HostPorts& host_ports;
  VmTable<v1::VmList>& table;
  Connections& consoles;  // these outlast their guests until their last words are taken
  std::function<void(const std::string& name)> on_gone;
};

class Guest final : public std::enable_shared_from_this<Guest> {
 public:
  Guest(Ground& ground, v1::VmSpec spec, Options options, Shares shares);

  void boot(Completion done);
  void stop(bool force, std::chrono::milliseconds timeout, Completion done);
  void connect(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done);
  void share(const v1::Share& share, const Completion& done);
  void unshare(const std::string& tag, const Completion& done);

  void pause(const Completion& done);
  void resume(const Completion& done);

  // Ends it at once, whatever it does. What is open then completes first.
  void end(v1::ExitReason reason, const std::string& detail);

 private:
  using Delay = std::chrono::milliseconds;
  using Timer = std::shared_ptr<boost::asio::steady_timer>;

  struct PendingConnect {
    uint32_t port;
    FdCompletion done;
    Timer timer;
  };
  struct PendingStop {
    Completion done;
    Timer deadline;
  };

  // Runs fn later, unless the guest has ended by then.
  Timer after(Delay delay, std::function<void()> fn);

  // The same for what the guest does by itself: put off while it is held.
  void after_in_guest(Delay delay, std::function<void()> fn);

  void open_console();
  void print_boot();
  void booted();
  void fail_boot();
  void begin_life();
  void listen_late(uint32_t port);
  void call_host(const GuestCall& call);
  void shut_down_after(Delay delay, v1::ExitReason reason, const std::string& detail);
  void panic();
  void crash();

  void try_connect(uint32_t port, Delay timeout, const FdCompletion& done);
  void wait_for_listener(uint32_t port, Delay timeout, const FdCompletion& done);
  void begin_shutdown();
  void give_up_stopping(uint64_t id);
  void announce_exit(v1::ExitReason reason, const std::string& detail);
  void cancel_open_calls();

  std::string named(const std::string& text) const { return "vm " + spec_.name() + ": " + text; }
  void print(std::string_view text);

  Ground& ground_;
  const v1::VmSpec spec_;
  const Options options_;
  Shares shares_;
  Connections connections_;
  GuestServices services_;
  std::shared_ptr<Console> console_;
  std::set<Timer> timers_;
  std::vector<Completion> booting_;  // one, or none
  uint64_t last_id_ = 0;
  std::map<uint64_t, PendingStop> stopping_;
  std::map<uint64_t, PendingConnect> connecting_;  // nobody listens there yet
  std::map<uint64_t, PendingConnect> delayed_;     // by option connect-delay
  std::vector<Completion> hung_;
  std::vector<FdCompletion> hung_connects_;
  std::vector<std::function<void()>> put_off_;
  bool running_ = false;
  bool paused_ = false;
  bool shutting_down_ = false;
  bool ended_ = false;
};

}  // namespace mvm::mock
