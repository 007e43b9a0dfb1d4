// SPDX-License-Identifier: Apache-2.0
// The owner of one VM: boots it through its plugin, serves the control socket, the forwards and the console, and stops
// it. Lives on one event loop; the plugin is called on a thread beside it (plugin_caller.hpp).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/log_pace.hpp"
#include "base/result.hpp"
#include "control/control_server.hpp"
#include "forward/port_forwarder.hpp"
#include "forward/served_ports.hpp"
#include "forward/vsock_socket.hpp"
#include "runner/boot_plan.hpp"
#include "runner/boot_reporter.hpp"
#include "runner/console_log.hpp"
#include "runner/plugin_caller.hpp"
#include "store/vm_store.hpp"

namespace mvm::host {

class Runner {
 public:
  struct Setup {
    VmStore store;
    VmName name;
    VmLock lock;
    pb::VmRecord record;  // the plan; its state is not starting yet
    VmSockets sockets;
    v1::HypervisorInfo info;
    std::chrono::milliseconds boot_timeout;
    RootfsPlan rootfs;
    bool damaged_record = false;  // one lies there, to be set aside
    std::optional<pb::VmRecord> previous;
  };

  Runner(boost::asio::io_context& loop, Setup setup, BootReporter& reporter);
  ~Runner();

  // What the plugin's instance is made with (PluginHypervisor::create); before start.
  static HostServices services(boost::asio::io_context& loop, std::weak_ptr<Runner*> runner);

  // Begins; the loop runs until the VM is gone. The plugin is given here.
  void start(std::unique_ptr<PluginHypervisor> plugin);

  // Begins a stop, as a signal or a client asks for it. done: when the VM is gone.
  void stop(bool force, std::chrono::milliseconds grace, std::function<void()> done);

  // The process's exit code, once the loop has ended.
  int exit_code() const noexcept { return exit_code_; }

  void on_event(const v1::VmEvent& event);
  std::shared_ptr<ConsoleLog> console() const { return console_; }

 private:
  struct Ending {
    VmHappening happening = VmHappening::ended;
    std::string exit_reason;
    std::string error;  // empty: none
    ErrorKind kind = ErrorKind::failed;
  };

  // Booting, in this order; each step calls the next or end().
  Result<void> bind_everything();
  void prepare_disk();
  Result<void> lock_disks();
  void boot();
  void booted(const std::string& vm_info);
  void boot_failed(const Error& error);
  void forget_plan();

  // Stopping.
  void call_stop(bool force, std::chrono::milliseconds grace, std::chrono::milliseconds limit,
                 std::function<void(Result<std::string>)> done);
  std::function<void(PluginHypervisor&, Completion)> resuming() const;
  void ask_guest(std::chrono::milliseconds grace);
  void force_stop();
  std::string with_console(const std::string& why) const;
  void end(Ending ending);
  void gone();

  // Serving.
  void handle(const pb::ControlRequest& request, ControlServer::Reply reply);
  void handle_connect(const pb::VsockConnect& request, ControlServer::Reply reply);
  void handle_share(const v1::Share& wanted, ControlServer::Reply reply);
  void handle_unshare(const std::string& tag, ControlServer::Reply reply);
  void handle_pause(ControlServer::Reply reply);
  void handle_resume(ControlServer::Reply reply);
  void change_pause(VmState from, VmHappening happening, const char* verb,
                    std::function<void(PluginHypervisor&, Completion)> start,
                    std::function<void(Result<std::string>)> done);
  Result<void> publish(const pb::PublishedPort& wanted);
  Result<void> unpublish(const pb::PublishedPort& wanted);
  Result<void> bind_port(const pb::PublishedPort& port);
  GuestConnector connector();
  void handle_inspect(ControlServer::Reply reply);
  void add_traffic(pb::InspectReply& inspected) const;
  void connect_guest(uint32_t port, std::chrono::milliseconds keep_trying, std::function<void(Result<UniqueFd>)> done);
  void listen_for_guest();
  void guest_listen(std::vector<PortChange> changes, std::function<void()> done);
  void wait_for_signal();

  VmState state() const;
  void enter(VmHappening happening);
  Result<void> save();

  boost::asio::io_context& loop_;
  Setup setup_;
  BootReporter& reporter_;
  boost::asio::signal_set signals_;
  std::unique_ptr<PluginCaller> plugin_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<VsockSocket> vsock_;
  std::shared_ptr<LogPace> shortage_pace_ = std::make_shared<LogPace>(std::chrono::seconds(10));
  std::shared_ptr<ServedPorts> served_ports_;             // where the hypervisor needs each port by its number
  std::vector<std::unique_ptr<PortForwarder>> forwards_;  // one for each of the record's published ports, in order
  std::shared_ptr<ConsoleLog> console_;
  std::vector<UniqueFd> disk_locks_;
  std::vector<v1::Share> shares_;  // in force
  std::string remembered_;         // what the record on the disk has for the next boot, as JSON; empty: none
  std::vector<std::function<void()>> stop_waiters_;
  bool takes_guest_ports_ = false;         // extension mvm.guest-connect/1
  bool changing_pause_ = false;            // a pause or a resume is under way
  std::string unrecorded_;                 // why the record of the end could not be written
  std::optional<v1::VmEvent> early_exit_;  // told before boot's own completion
  bool reported_ = false;
  bool copying_ = false;
  bool forcing_ = false;
  bool boot_failed_ = false;  // what ends the VM now ends it for that reason
  bool ending_ = false;
  int stop_signals_ = 0;
  int exit_code_ = 0;
};

}  // namespace mvm::host
