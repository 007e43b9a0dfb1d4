// SPDX-License-Identifier: Apache-2.0
// The host's side of the ABI: an instance of a plugin as an mvm::Hypervisor. What a plugin does wrong here is input: it
// is named by its rule, refused and survived.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"
#include "plugin/plugin_library.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::host {

// What the host does for the plugin. Called on any thread, concurrently; enqueue and return.
struct HostServices {
  std::function<bool(int32_t level)> log_enabled;
  std::function<void(int32_t level, std::string_view message)> log;
  std::function<void(v1::VmEvent event)> event;
  std::function<Result<UniqueFd>(std::string_view vm_name)> console_open;
};

// Told of every call into the plugin as it begins and ends, so that a crash can be blamed on one (crash_note.hpp).
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void call_begins(std::string_view call) noexcept = 0;
  virtual void call_returned() noexcept = 0;
};

// Threads and states are those of mvm_hypervisor_api; calls out of state are answered MVM_ERR_BUSY here and never reach
// the plugin (MVM-H3). Completions may arrive on any thread, or inline. The proxy has no deadlines: a caller keeps a
// copy of its completion and fails it when time is up; what then still arrives is logged with its rule, and an fd
// closed.
class PluginHypervisor final : public Hypervisor, public CanUnshareDir, public CanPause, public CanGuestConnect {
 public:
  // instance_config: serialised mvm.v1.InstanceConfig. observer may be null; it outlives the instance.
  static Result<std::unique_ptr<PluginHypervisor>> create(std::shared_ptr<const PluginLibrary> library,
                                                          const std::string& instance_config, HostServices services,
                                                          CallObserver* observer);
  ~PluginHypervisor() override;  // destroys the instance; [control]

  const PluginIdentity& identity() const noexcept;
  bool has_extension(const std::string& id) const;

  // Parsed and checked info; the plain functions below throw mvm::Error.
  Result<v1::HypervisorInfo> describe();

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
  struct State;
  struct HostTable;
  explicit PluginHypervisor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A plugin's failure as the host's: MVM_ERR_UNSUPPORTED -> unsupported, MVM_ERR_INVALID -> invalid, MVM_ERR_DEADLINE ->
// deadline, everything else -> failed. The message is "<plugin label>: <call>: <message>".
Error plugin_error(const PluginIdentity& plugin, std::string_view call, mvm_status status, std::string_view message);

}  // namespace mvm::host
