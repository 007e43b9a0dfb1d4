// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "cli/running_vm.hpp"

namespace mvm::host {

void add_wait(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("wait", "Wait until a VM is no longer running; prints the state it ended in");
  command->footer("Exit code: 0 when it was stopped or shut itself down, 1 when it crashed or failed.");
  auto name = std::make_shared<std::string>();
  command->add_option("NAME", *name, "The VM")->required();
  command->callback([&globals, &action, name] {
    action = [&globals, name]() -> Result<int> {
      MVM_TRY(NamedVm vm, find_vm(globals, *name));
      while (vm.active()) {  // booted again at once, it is waited for again
        VmLock::wait_until_free(vm.store.paths(vm.name));
        MVM_TRY(vm, find_vm(globals, *name));
      }
      MVM_CHECK(print(vm.record.state() + "\n"));
      if (vm.record.state() == to_string(VmState::stopped)) return 0;
      return fail(ErrorKind::failed, "{}: {}: {}", *name, vm.record.state(), vm.record.last_error());
    };
  });
}

}  // namespace mvm::host
