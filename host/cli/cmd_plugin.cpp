// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include <algorithm>

#include "base/json.hpp"
#include "cli/command.hpp"
#include "launch/plugin_probe.hpp"
#include "launch/plugin_template.hpp"
#include "plugin/plugin_finder.hpp"
#include "plugin/plugin_trust.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {

void add_plugin_check(CLI::App& plugin, const GlobalOptions& globals, Action& action);

namespace {

struct InfoOptions {
  std::string plugin;
  bool json = false;
};

struct NewOptions {
  std::string name;
  std::string language;
  std::string directory;
};

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : ", ") + word;
  return all.empty() ? "-" : all;
}

// "KERNEL_FORMAT_BZIMAGE" -> "bzimage"
std::string plain_name(std::string name, const std::string& prefix) {
  name.erase(0, prefix.size());
  std::transform(name.begin(), name.end(), name.begin(), [](char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

std::vector<std::string> capabilities(const v1::HypervisorInfo& info) {
  std::vector<std::string> all;
  const auto add = [&](bool has, const char* word) {
    if (has) all.emplace_back(word);
  };
  add(info.vsock(), "vsock");
  add(info.share_dir_at_boot(), "share-dir at boot");
  add(info.share_dir_while_running(), "share-dir while running");
  add(info.guest_connect_any_port(), "guest-connect on any port");
  add(info.graceful_stop(), "graceful stop");
  add(info.console_input(), "console input");
  return all;
}

std::string text_of(const pb::PluginDetails& details) {
  const pb::PluginView& view = details.plugin();
  const v1::HypervisorInfo& info = view.info();
  std::vector<std::string> kernels;
  for (const int format : info.kernel_formats()) {
    kernels.push_back(plain_name(v1::KernelFormat_Name(static_cast<v1::KernelFormat>(format)), "KERNEL_FORMAT_"));
  }
  std::vector<std::string> disks;
  for (const int format : info.disk_formats()) {
    disks.push_back(plain_name(v1::DiskFormat_Name(static_cast<v1::DiskFormat>(format)), "DISK_FORMAT_"));
  }
  std::vector<std::vector<std::string>> rows = {
      {"name:", view.name()},
      {"version:", view.version()},
      {"vendor:", view.vendor()},
      {"abi:", view.abi()},
      {"file:", view.file()},
      {"can:", joined(capabilities(info))},
      {"kernels:", joined(kernels)},
      {"disks:", joined(disks)},
      {"extensions:", joined({view.extensions().begin(), view.extensions().end()})},
      {"features:", joined({info.features().begin(), info.features().end()})}};
  if (info.max_cpus() != 0) rows.push_back({"cpus:", formatted("at most {}", info.max_cpus())});
  for (const auto& option : info.options()) rows.push_back({"option:", option.key() + ": " + option.help()});
  for (const auto& other : details.others()) rows.push_back({other.status() + ":", other.reason()});
  return format_table(rows);
}

bool is_file(const std::string& plugin) {
  return plugin.find('/') != std::string::npos || !plugin_name_of(plugin).empty();
}

Result<int> show_info(const GlobalOptions& globals, const InfoOptions& o) {
  std::filesystem::path path;
  pb::PluginDetails details;
  const bool by_file = is_file(o.plugin);
  if (by_file) {
    MVM_TRY(path, trusted_plugin_file(o.plugin));
  } else {
    const PluginFinder finder = PluginFinder::standard();
    MVM_TRY(path, finder.find(o.plugin));
    for (const auto& candidate : finder.all()) {
      if (candidate.name != o.plugin || candidate.usable) continue;
      *details.add_others() = passed_over(candidate, candidate.reason);
    }
  }
  MVM_TRY(*details.mutable_plugin(), probe_plugin(path, by_file ? "" : o.plugin));
  MVM_CHECK(print(o.json || globals.json() ? to_json(details) + "\n" : text_of(details)));
  return 0;
}

void add_info(CLI::App& plugin, const GlobalOptions& globals, Action& action) {
  auto* command = plugin.add_subcommand("info", "Say what a plugin is and can do");
  auto o = std::make_shared<InfoOptions>();
  command->add_option("plugin", o->plugin, "Its name, or its file")->type_name("FILE|NAME")->required();
  command->add_flag("--json", o->json, "As --output json");
  command->callback([&globals, &action, o] { action = [&globals, o] { return show_info(globals, *o); }; });
}

Result<int> make_new(const GlobalOptions& globals, const NewOptions& o) {
  for (const auto& candidate : PluginFinder::standard().all()) {
    if (candidate.name != o.name) continue;
    return fail(ErrorKind::invalid, "{}: is the name of a plugin that is there: {}; choose another", o.name,
                candidate.path.string());
  }
  MVM_CHECK(new_plugin_project(o.name, o.language, o.directory));
  note(globals, formatted("{}: is the project of a plugin now: cd there, and ./ci", o.directory));
  return 0;
}

void add_new(CLI::App& plugin, const GlobalOptions& globals, Action& action) {
  auto* command = plugin.add_subcommand("new", "Write the project of a new plugin, which builds as it stands");
  auto o = std::make_shared<NewOptions>();
  command->add_option("name", o->name, "The plugin's name")->type_name("NAME")->required();
  command->add_option("dir", o->directory, "A directory that is empty or not there yet")->type_name("DIR")->required();
  command->add_option("--lang", o->language, "Its language")->check(CLI::IsMember({"c", "cpp", "rust"}))->required();
  command->callback([&globals, &action, o] { action = [&globals, o] { return make_new(globals, *o); }; });
}

}  // namespace

void add_plugin(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("plugin", "For authors of plugins: new, check, info");
  command->require_subcommand(1);
  add_new(*command, globals, action);
  add_plugin_check(*command, globals, action);
  add_info(*command, globals, action);
  for (CLI::App* inner : command->get_subcommands([](CLI::App*) { return true; })) inner->fallthrough();
}

}  // namespace mvm::host
