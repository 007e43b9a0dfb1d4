// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "base/json.hpp"
#include "base/parse.hpp"
#include "base/time.hpp"
#include "cli/command.hpp"

namespace mvm::host {
namespace {

std::string table(const VmList& vms) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "HYPERVISOR", "CPUS", "MEMORY", "STARTED"}};
  rows.reserve(1 + vms.size());
  for (const auto& vm : vms) {
    const std::string age = age_of(vm.started_at());
    auto& row = rows.emplace_back();
    row.reserve(rows.front().size());
    row.push_back(vm.name());
    row.push_back(vm.state());
    row.push_back(vm.hypervisor().empty() ? "-" : vm.hypervisor());
    row.push_back(std::to_string(vm.cpus()));
    row.push_back(format_size(vm.memory_bytes()));
    row.push_back(age.empty() ? "-" : age + " ago");
  }
  return format_table(rows);
}

}  // namespace

void add_list(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("list", "List all VMs")->alias("ls");
  command->callback([&globals, &action] {
    action = [&globals]() -> Result<int> {
      MVM_TRY(const VmStore store, globals.store());
      MVM_TRY(const auto vms, store.list());
      MVM_CHECK(print(globals.json() ? to_json_array(vms) + "\n" : table(vms)));
      return 0;
    };
  });
}

}  // namespace mvm::host
