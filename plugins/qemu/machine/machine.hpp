// SPDX-License-Identifier: Apache-2.0
// One VM, from boot to its end. Lives on the loop's thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "accelerator.hpp"
#include "mvm/host_ports.hpp"
#include "mvm/plugin.hpp"
#include "mvm/vm_table.hpp"
#include "options.hpp"
#include "qemu_process.hpp"
#include "share_slots.hpp"
#include "vsock/vsock_device.hpp"

namespace mvm::qemu {

// What machines stand on; outlives them.
struct Ground {
  boost::asio::io_context& loop;
  Host host;
  HostPorts& host_ports;
  VmTable<v1::VmList>& table;
  std::string state_dir;
  QemuProcess::Patience patience = QemuProcess::usual_patience;
  AcceleratorChoice::Setting accelerators;
  std::function<void(const std::string& name)> on_gone;
};

// What was found out about a VM before it is booted.
struct Plan {
  v1::VmSpec spec;  // checked
  Options options;
  std::string program;
  SharingSupport sharing;
};

class Machine final : public std::enable_shared_from_this<Machine> {
 public:
  using Delay = std::chrono::milliseconds;

  Machine(Ground& ground, Plan plan);

  const v1::VmSpec& spec() const noexcept { return plan_.spec; }
  const std::string& name() const noexcept { return plan_.spec.name(); }

  void boot(Completion done);
  void stop(bool force, Delay timeout, Completion done);
  void connect(uint32_t port, Delay timeout, const FdCompletion& done);
  void share(const v1::Share& share, Completion done);
  void unshare(const std::string& tag, Completion done);
  void pause(Completion done);
  void resume(Completion done);

 private:
  struct PendingStop {
    Completion done;
    std::shared_ptr<boost::asio::steady_timer> deadline;
  };

  // boot
  template <class Fn>
  void or_fail_boot(Fn fn);
  void open_console();
  void launch(Accelerator accelerator);
  void start_vsock(UniqueFd front_end);
  void add_boot_shares(int next);
  void let_run();
  void running();
  void fail_boot(const Error& error);

  // stop
  void begin_shutdown();
  void press_power_button();
  void give_up_stopping(uint64_t id);
  void force();

  // while it runs
  void take_event(const QmpEvent& event);
  void look_why_it_stopped();
  void hold(bool held, const Completion& done);
  void set_held(bool held);

  // the end
  void qemu_gone(const QemuEnd& end);
  void finish();
  void fail_open_boot(const QemuEnd* end);
  void announce_exit(const ExitCause& cause);

  v1::VmState state() const;
  void update_state();
  void check_running() const;
  std::string named(const std::string& text) const { return "vm " + plan_.spec.name() + ": " + text; }
  // fn, unless the machine has ended by then.
  template <class Fn>
  std::shared_ptr<boost::asio::steady_timer> after(Delay delay, Fn fn);

  Ground& ground_;
  const Plan plan_;
  AcceleratorChoice accelerators_;
  ShareSlots shares_;
  UniqueFd console_;  // until QEMU has it
  std::unique_ptr<VsockDevice> vsock_;
  std::shared_ptr<QemuProcess> qemu_;
  std::vector<Completion> booting_;  // one, or none
  std::optional<Error> boot_error_;
  uint64_t last_id_ = 0;
  std::map<uint64_t, PendingStop> stopping_;
  std::shared_ptr<boost::asio::steady_timer> next_press_;
  bool running_ = false;  // or held
  bool held_ = false;
  bool holding_ = false;  // a pause or resume is under way
  bool forced_ = false;
  bool ended_ = false;
};

}  // namespace mvm::qemu
