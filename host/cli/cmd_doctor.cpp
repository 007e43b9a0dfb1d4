// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>

#include <CLI/CLI.hpp>

#include "base/json.hpp"
#include "cli/command.hpp"
#include "doctor/findings.hpp"

namespace mvm::host {
namespace {

void append(Findings& all, Findings more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

Result<Findings> examine(const GlobalOptions& globals) {
  Findings all = check_system();
  MVM_TRY(const VmStore store, globals.store());
  append(all, check_directories(store));
  const std::string chosen = globals.hypervisor.empty() ? default_hypervisor() : globals.hypervisor;
  append(all, globals.plugin.empty() ? check_plugins(chosen) : check_plugin_file(globals.plugin));
  return all;
}

std::string table(const Findings& findings) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& f : findings) rows.push_back({f.verdict(), f.subject(), f.message()});
  return format_table(rows);
}

Result<int> show(const GlobalOptions& globals) {
  MVM_TRY(const Findings findings, examine(globals));
  MVM_CHECK(print(globals.json() ? to_json_array(findings) + "\n" : table(findings)));
  const bool sound =
      std::none_of(findings.begin(), findings.end(), [](const auto& f) { return f.verdict() == "problem"; });
  return sound ? 0 : static_cast<int>(ErrorKind::failed);
}

}  // namespace

void add_doctor(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("doctor", "Say what stands in the way of booting here, and what mends it");
  command->callback([&globals, &action] { action = [&globals] { return show(globals); }; });
}

}  // namespace mvm::host
