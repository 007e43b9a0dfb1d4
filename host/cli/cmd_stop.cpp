// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <csignal>
#include <iostream>
#include <thread>

#include <CLI/CLI.hpp>

#include "base/parse.hpp"
#include "base/process.hpp"
#include "cli/running_vm.hpp"

namespace mvm::host {
namespace {

using std::chrono::milliseconds;

// A runner's own bounds on asking, forcing and cleaning up, and some more.
constexpr milliseconds runner_slack{25'000};
constexpr milliseconds force_limit{12'000};
constexpr milliseconds end_limit{10'000};

struct StopOptions {
  std::vector<std::string> names;
  bool all = false;
  bool force = false;
  std::string timeout = "30s";
};

// Signals the runner that holds the lock, if that very process still lives, and waits for its end.
Result<void> signal_runner(const NamedVm& vm, int signal, milliseconds limit) {
  const auto holder = VmLock::holder(vm.store.paths(vm.name));
  if (!holder || holder->pid <= 1 || process_started(holder->pid) != holder->started) {
    if (!VmLock::is_held(vm.store.paths(vm.name))) return {};  // it ended meanwhile
    return fail(ErrorKind::failed, "{}: something holds its lock that isn't its runner", vm.name.str());
  }
  ::kill(holder->pid, signal);
  if (wait_process_end(holder->pid, limit)) return {};
  return fail(ErrorKind::deadline, "{}: its runner (pid {}) did not end within {} s: use --force", vm.name.str(),
              holder->pid, limit.count() / 1000);
}

Result<void> ask_runner(const NamedVm& vm, bool force, milliseconds grace) {
  auto client = vm.connect();
  // Its socket may be gone (a cleaned /tmp, a session that ended): a signal means the same.
  if (!client) return signal_runner(vm, SIGTERM, force ? force_limit : grace + runner_slack);
  pb::ControlRequest request;
  request.mutable_stop()->set_force(force);
  request.mutable_stop()->set_timeout_ms(static_cast<uint32_t>(std::max<int64_t>(grace.count(), 1)));
  const milliseconds limit = force ? force_limit : grace + runner_slack;
  const auto answer = (*client)->call(request, limit);
  if (!answer) {
    // A runner that went away has stopped its VM, if it ended as it should: the record tells.
    if (!VmLock::is_held(vm.store.paths(vm.name))) return {};
    return fail(answer.error().kind, "{}: {}: use --force", vm.name.str(), answer.error().message);
  }
  if ((*client)->wait_closed(end_limit)) {
    const std::string& unrecorded = answer->reply.done().unrecorded();
    if (unrecorded.empty()) return {};
    return fail(ErrorKind::failed, "{}: has stopped, but {}; until the next boot it is shown as crashed", vm.name.str(),
                unrecorded);
  }
  return fail(ErrorKind::deadline, "{}: its runner has stopped the VM, but does not end: use --force", vm.name.str());
}

Result<void> stop_one(const GlobalOptions& globals, const std::string& name, bool force, milliseconds grace) {
  MVM_TRY(const NamedVm vm, find_vm(globals, name));
  if (!vm.active()) return {};
  auto stopped = ask_runner(vm, force, grace);
  if (stopped || !force || !VmLock::is_held(vm.store.paths(vm.name))) return stopped;
  note(globals, formatted("{}: killing its runner", stopped.error().message));
  return signal_runner(vm, SIGKILL, end_limit);
}

Result<std::vector<std::string>> names_of(const GlobalOptions& globals, const StopOptions& options) {
  if (options.all != options.names.empty()) {
    return fail(ErrorKind::invalid, "stop: say either the names of VMs, or --all");
  }
  if (!options.all) {
    for (const auto& name : options.names) MVM_CHECK(VmName::parse(name));
    return options.names;
  }
  MVM_TRY(const VmStore store, globals.store());
  MVM_TRY(const auto vms, store.list());
  std::vector<std::string> names;
  for (const auto& vm : vms) {
    const bool meant = globals.hypervisor.empty() || vm.hypervisor() == globals.hypervisor;
    if (meant && is_active(*parse_vm_state(vm.state()))) names.push_back(vm.name());
  }
  return names;
}

// All at once, so that one guest that takes its time doesn't keep the others waiting for theirs.
std::vector<Result<void>> stop_all(const GlobalOptions& globals, const std::vector<std::string>& names, bool force,
                                   milliseconds grace) {
  std::vector<Result<void>> results(names.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < names.size(); i = next++) results[i] = stop_one(globals, names[i], force, grace);
  };
  std::vector<std::thread> workers;
  constexpr size_t most_workers = 64;
  for (size_t i = 1; i < std::min(names.size(), most_workers); ++i) workers.emplace_back(work);
  work();
  for (auto& worker : workers) worker.join();
  return results;
}

}  // namespace

void add_stop(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("stop", "Stop VMs: ask the guest, wait, then by force");
  auto options = std::make_shared<StopOptions>();
  command->add_option("NAME", options->names, "The VMs");
  command->add_flag("--all", options->all, "Every VM that runs");
  command->add_flag("--force", options->force, "At once, without asking the guest");
  command->add_option("--timeout", options->timeout, "How long the guest may take before it is forced")
      ->type_name("TIME")
      ->capture_default_str();
  command->callback([&globals, &action, options] {
    action = [&globals, options]() -> Result<int> {
      MVM_TRY(const auto grace, parse_duration("--timeout", options->timeout));
      MVM_TRY(const auto names, names_of(globals, *options));
      int exit_code = 0;
      for (const auto& result : stop_all(globals, names, options->force, grace)) {
        if (result) continue;
        std::cerr << "mvmhost: " << result.error().message << '\n';
        if (exit_code == 0) exit_code = static_cast<int>(result.error().kind);
      }
      return exit_code;
    };
  });
}

}  // namespace mvm::host
