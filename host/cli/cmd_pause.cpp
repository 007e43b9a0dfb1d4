// SPDX-License-Identifier: Apache-2.0
// pause and resume.
#include <iostream>

#include <CLI/CLI.hpp>

#include "cli/running_vm.hpp"

namespace mvm::host {
namespace {

constexpr std::chrono::milliseconds answer_limit{30'000};

Result<void> ask(const GlobalOptions& globals, const std::string& name, const pb::ControlRequest& request) {
  MVM_TRY(const auto client, connect_vm(globals, name));
  MVM_CHECK(client->call(request, answer_limit));
  return {};
}

// All of them, also when one fails; the exit code is the first failure's.
int ask_all(const GlobalOptions& globals, const std::vector<std::string>& names, const pb::ControlRequest& request) {
  int exit_code = 0;
  for (const auto& name : names) {
    const auto result = ask(globals, name, request);
    if (result) continue;
    std::cerr << "mvmhost: " << result.error().message << '\n';
    if (exit_code == 0) exit_code = static_cast<int>(result.error().kind);
  }
  return exit_code;
}

void add(CLI::App& app, const GlobalOptions& globals, Action& action, const char* verb, const char* help,
         const pb::ControlRequest& request) {
  auto* command = app.add_subcommand(verb, help);
  auto names = std::make_shared<std::vector<std::string>>();
  command->add_option("NAME", *names, "The VMs")->required();
  command->callback([&globals, &action, names, request] {
    action = [&globals, names, request]() -> Result<int> { return ask_all(globals, *names, request); };
  });
}

}  // namespace

void add_pause(CLI::App& app, const GlobalOptions& globals, Action& action) {
  pb::ControlRequest pause;
  pause.mutable_pause();
  add(app, globals, action, "pause", "Hold running VMs: nothing in them runs until they are resumed", pause);
  pb::ControlRequest resume;
  resume.mutable_resume();
  add(app, globals, action, "resume", "Let paused VMs go on", resume);
}

}  // namespace mvm::host
