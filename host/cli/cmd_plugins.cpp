// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "base/json.hpp"
#include "cli/command.hpp"
#include "launch/plugin_probe.hpp"
#include "launch/probe_cache.hpp"
#include "plugin/plugin_finder.hpp"
#include "plugin/plugin_trust.hpp"

namespace mvm::host {
namespace {

struct PluginOptions {
  std::string probe;
  std::string probe_name;
};

pb::PluginView view_of(const PluginCandidate& candidate, const std::filesystem::path& cache) {
  if (!candidate.usable) return passed_over(candidate, candidate.reason);
  const auto probed = cached_probe(cache, candidate.path, candidate.name);
  return probed ? *probed : passed_over(candidate, probed.error().message);
}

std::string table(const std::vector<pb::PluginView>& views) {
  std::vector<std::vector<std::string>> rows = {{"NAME", "VERSION", "ABI", "STATUS", "FILE"}};
  std::string reasons;
  for (const auto& view : views) {
    const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
    rows.push_back({view.name(), or_dash(view.version()), or_dash(view.abi()), view.status(), view.file()});
    if (!view.reason().empty()) reasons += formatted("{}: {}\n", view.status(), view.reason());
  }
  return format_table(rows) + reasons;
}

Result<int> show_plugins(const GlobalOptions& globals) {
  std::vector<pb::PluginView> views;
  if (!globals.plugin.empty()) {
    MVM_TRY(const auto path, trusted_plugin_file(globals.plugin));
    MVM_TRY(auto view, probe_plugin(path, ""));
    views.push_back(std::move(view));
  } else {
    const auto store = globals.store();
    const std::filesystem::path cache = store ? store->home() / "probes" : std::filesystem::path();
    for (const auto& candidate : PluginFinder::standard().all()) views.push_back(view_of(candidate, cache));
  }
  MVM_CHECK(print(globals.json() ? to_json_array(views) + "\n" : table(views)));
  return 0;
}

}  // namespace

void add_plugins(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("plugins", "List hypervisor plugins, and why others were refused");
  auto options = std::make_shared<PluginOptions>();
  command->add_option("--probe", options->probe)->group("");
  command->add_option("--probe-name", options->probe_name)->group("");
  command->callback([&globals, &action, options] {
    action = [&globals, options]() -> Result<int> {
      if (!options->probe.empty()) return answer_probe(options->probe, options->probe_name);
      return show_plugins(globals);
    };
  });
}

}  // namespace mvm::host
