// SPDX-License-Identifier: Apache-2.0
// The plugin: verbs are checked on the caller's thread and done on the VM's queue.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "machine/machine.hpp"
#include "mvm/plugin.hpp"

namespace mvm::apple_vz {

class AppleVzHypervisor final : public Hypervisor, public CanUnshareDir, public CanPause, public CanGuestConnect {
 public:
  AppleVzHypervisor(Host host, Bytes config);
  ~AppleVzHypervisor() override;

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
  // Shared with who takes a machine out, on its queue.
  struct Machines {
    std::mutex mutex;
    std::condition_variable one_less;
    std::vector<std::shared_ptr<Machine>> alive;  // of one name there may be a second while the first one ends

    void add(std::shared_ptr<Machine> machine);
    void remove(const Machine& machine);
    std::shared_ptr<Machine> find(const std::string& name);  // the last of that name; or null
    std::vector<std::shared_ptr<Machine>> all();
  };

  // On the machine's queue: calls fn(machine, done), or fails with MVM_ERR_NOT_FOUND.
  template <class Done, class Fn>
  void with_machine(const std::string& name, Done done, Fn fn);

  std::shared_ptr<Machines> machines_;
  Ground ground_;
};

}  // namespace mvm::apple_vz
