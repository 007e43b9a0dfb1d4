// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "base/json.hpp"
#include "base/parse.hpp"
#include "base/time.hpp"
#include "cli/command.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {
namespace {

pb::VmSummary summary_of(const pb::VmRecord& record) {
  pb::VmSummary summary;
  summary.set_name(record.name());
  summary.set_hypervisor(record.hypervisor());
  summary.set_state(record.state());
  summary.set_pid(record.pid());
  summary.set_cpus(record.spec().cpus());
  summary.set_memory_bytes(record.spec().memory_bytes());
  summary.set_started_at(record.started_at());
  summary.set_last_error(record.last_error());
  summary.set_exit_reason(record.exit_reason());
  return summary;
}

std::string table(const std::vector<pb::VmRecord>& records) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "STATE", "HYPERVISOR", "CPUS", "MEMORY", "STARTED"}};
  for (const auto& record : records) {
    const std::string age = age_of(record.started_at());
    rows.push_back({record.name(), record.state(), record.hypervisor().empty() ? "-" : record.hypervisor(),
                    formatted("{}", record.spec().cpus()), format_size(record.spec().memory_bytes()),
                    age.empty() ? "-" : age + " ago"});
  }
  return format_table(rows);
}

}  // namespace

void add_list(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("list", "List all VMs")->alias("ls");
  command->callback([&globals, &action] {
    action = [&globals]() -> Result<int> {
      MVM_TRY(const VmStore store, globals.store());
      MVM_TRY(const auto records, store.look_all());
      if (!globals.json()) {
        MVM_CHECK(print(table(records)));
        return 0;
      }
      std::vector<pb::VmSummary> summaries;
      summaries.reserve(records.size());
      for (const auto& record : records) summaries.push_back(summary_of(record));
      MVM_CHECK(print(to_json_array(summaries) + "\n"));
      return 0;
    };
  });
}

}  // namespace mvm::host
