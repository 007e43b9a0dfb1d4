// SPDX-License-Identifier: Apache-2.0
// What the commands share: the options before or after every command, and how a command is added.
#pragma once

#include <functional>
#include <string>

#include "base/log.hpp"
#include "base/result.hpp"
#include "store/vm_store.hpp"

namespace CLI {
class App;
}

namespace mvm::host {

struct GlobalOptions {
  std::string home;
  std::string hypervisor;
  std::string plugin;
  std::string output = "table";
  int verbose = 0;
  bool quiet = false;

  bool json() const { return output == "json"; }
  Result<VmStore> store() const { return VmStore::at(home); }
};

// $MVM_HYPERVISOR, or what this build was made with; may be empty.
std::string default_hypervisor();

// What the chosen command does: the exit code, or an error to print.
using Action = std::function<Result<int>()>;

// Each adds its subcommand, whose callback sets `action`. `globals` is filled when the action runs.
void add_boot(CLI::App& app, const GlobalOptions& globals, Action& action);  // boot and run
void add_stop(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_list(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_inspect(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_vsock_connect(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_share(CLI::App& app, const GlobalOptions& globals, Action& action);    // share-dir and unshare-dir
void add_publish(CLI::App& app, const GlobalOptions& globals, Action& action);  // publish and unpublish
void add_logs(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_wait(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_pause(CLI::App& app, const GlobalOptions& globals, Action& action);  // pause and resume
void add_rm(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_plugins(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_doctor(CLI::App& app, const GlobalOptions& globals, Action& action);
void add_plugin(CLI::App& app, const GlobalOptions& globals, Action& action);  // plugin check, info and new

// To standard output; an error (failed) when that takes no more, as on a full disk.
Result<void> print(std::string_view text);
// To standard error, as "mvmhost: ...", unless --quiet.
void note(const GlobalOptions& globals, std::string_view text);

// Columns padded to their widest cell; the first row is the heading.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

}  // namespace mvm::host
