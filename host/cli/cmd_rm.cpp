// SPDX-License-Identifier: Apache-2.0
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/running_vm.hpp"
#include "launch/launchd_job.hpp"

namespace mvm::host {
namespace {

constexpr std::chrono::milliseconds lock_patience{1000};

Result<void> remove_one(const GlobalOptions& globals, const std::string& name) {
  MVM_TRY(const NamedVm vm, find_vm(globals, name));
  const auto running = [&] {
    return fail(ErrorKind::failed, "{}: is {}: stop it first", name, vm.active() ? vm.record.state() : "running");
  };
  if (vm.active()) return running();
  const auto lock = VmLock::acquire(vm.store.paths(vm.name), lock_patience);
  if (!lock && VmLock::is_held(vm.store.paths(vm.name))) return running();
  if (!lock) return tl::unexpected(lock.error());
  if (vm.record.spec().detach() == "launchd") {
    auto out = LaunchdJob(vm.store.home(), vm.name).boot_out();
    if (!out && out.error().kind != ErrorKind::unsupported) return out;  // a directory that came from a Mac
  }
  return vm.store.remove(vm.name);
}

}  // namespace

void add_rm(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("rm", "Remove VMs that don't run, with their disks and logs");
  auto names = std::make_shared<std::vector<std::string>>();
  command->add_option("NAME", *names, "The VMs")->required();
  command->callback([&globals, &action, names] {
    action = [&globals, names]() -> Result<int> {
      for (const auto& name : *names) MVM_CHECK(VmName::parse(name));
      int exit_code = 0;
      for (const auto& name : *names) {
        const auto removed = remove_one(globals, name);
        if (removed) continue;
        std::cerr << "mvmhost: " << removed.error().message << '\n';
        if (exit_code == 0) exit_code = static_cast<int>(removed.error().kind);
      }
      return exit_code;
    };
  });
}

}  // namespace mvm::host
