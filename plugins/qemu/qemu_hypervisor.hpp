// SPDX-License-Identifier: Apache-2.0
// The plugin: verbs are checked on the caller's thread and done on the loop's.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "machine/event_loop.hpp"
#include "machine/machine.hpp"
#include "mvm/host_ports.hpp"
#include "mvm/plugin.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "mvm/vm_table.hpp"
#include "share/sharing_support.hpp"

namespace mvm::qemu {

class QemuHypervisor final : public Hypervisor, public CanUnshareDir, public CanGuestConnect, public CanPause {
 public:
  QemuHypervisor(Host host, Bytes config);
  ~QemuHypervisor() override;

  std::string info() override;
  void boot(Bytes vm_spec, Completion done) override;
  void stop(Bytes stop_request, Completion done) override;
  std::string list() override;
  void vsock_connect(Bytes request, FdCompletion done) override;
  void share_dir(Bytes request, Completion done) override;
  void unshare_dir(Bytes request, Completion done) override;
  void guest_listen(uint32_t port, OnConnect on_connect) override;
  void pause(Bytes request, Completion done) override;
  void resume(Bytes request, Completion done) override;

 private:
  // On the loop: calls fn(machine), or fails with MVM_ERR_NOT_FOUND.
  template <class Done, class Fn>
  void with_machine(std::string name, Done done, Fn fn);

  Plan make_plan(Bytes vm_spec);
  SharingSupport sharing(const std::string& program);

  Host host_;
  EventLoop loop_;  // before what lives on it
  HostPorts host_ports_;
  VmTable<v1::VmList> table_;
  Ground ground_;
  std::map<std::string, std::shared_ptr<Machine>> machines_;
  std::once_flag looked_for_sharing_;
  SharingSupport sharing_;
};

}  // namespace mvm::qemu
