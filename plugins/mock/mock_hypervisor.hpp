// SPDX-License-Identifier: Apache-2.0
// The plugin: verbs are checked on the caller's thread and done on the loop's.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "guest/event_loop.hpp"
#include "guest/guest.hpp"
#include "guest/vm_table.hpp"
#include "mvm/host_ports.hpp"
#include "mvm/plugin.hpp"

namespace mvm::mock {

class MockHypervisor final : public Hypervisor, public CanUnshareDir, public CanPause, public CanGuestConnect {
 public:
  MockHypervisor(Host host, Bytes config);
  ~MockHypervisor() override;

  std::string info() override;
  void boot(Bytes vm_spec, Completion done) override;
  void stop(Bytes stop_request, Completion done) override;
  std::string list() override;
  void vsock_connect(Bytes request, FdCompletion done) override;
  void share_dir(Bytes request, Completion done) override;
  void unshare_dir(Bytes request, Completion done) override;
  void pause(Bytes request, Completion done) override;
  void resume(Bytes request, Completion done) override;
  void guest_listen(uint32_t port, OnConnect on_connect) override;

 private:
  // On the loop: calls fn(guest), or fails with MVM_ERR_NOT_FOUND.
  template <class Done, class Fn>
  void with_guest(std::string name, Done done, Fn fn);

  Host host_;
  EventLoop loop_;  // before what lives on it
  HostPorts host_ports_;
  VmTable table_;
  Connections consoles_;
  Ground ground_;
  std::map<std::string, std::shared_ptr<Guest>> guests_;
};

}  // namespace mvm::mock
