// SPDX-License-Identifier: Apache-2.0
// boot and run.
#include <charconv>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <set>

#include <CLI/CLI.hpp>

#include "base/parse.hpp"
#include "cli/command.hpp"
#include "cli/progress_bar.hpp"
#include "cli/published_port.hpp"
#include "launch/detached.hpp"
#include "launch/launched_reporter.hpp"
#include "runner/run_vm.hpp"
#include "store/crash_note.hpp"

namespace mvm::host {
namespace {

// As typed; a list that holds one empty string was emptied on purpose.
struct BootOptions {
  std::string name;
  std::string kernel;
  std::string initrd;
  std::string cmdline;
  std::string rootfs;
  std::string rootfs_mode;
  std::vector<std::string> disks;
  std::string cpus;
  std::string memory;
  std::vector<std::string> shares;
  std::vector<std::string> publish;
  std::vector<std::string> options;
  std::string timeout = "30s";
  bool fresh = false;
  bool console_pty = false;
  std::string detach;
  bool launched = false;
  std::string launched_at;
};

void add_options(CLI::App& command, BootOptions& o) {
  command.add_option("NAME", o.name, "The VM: 1 to 63 of a-z, 0-9 and '-'")->required();
  command.add_option("--kernel", o.kernel, "Kernel file")->type_name("FILE");
  command.add_option("--initrd", o.initrd, "Initial RAM disk")->type_name("FILE");
  command.add_option("--cmdline", o.cmdline, "Kernel command line")->type_name("TEXT");
  command.add_option("--rootfs", o.rootfs, "Image of the root file system")->type_name("FILE");
  command
      .add_option("--rootfs-mode", o.rootfs_mode,
                  "clone: the VM gets its own copy; overlay: a file of what it writes, over the image; direct: it "
                  "writes the image itself; readonly: it only reads it")
      ->check(CLI::IsMember({"clone", "overlay", "direct", "readonly"}));
  const auto list = [&](const char* flag, std::vector<std::string>& into, const char* help, const char* type) {
    command.add_option(flag, into, help)->type_name(type)->allow_extra_args(false)->expected(1)->take_all();
  };
  list("--disk", o.disks, "Another disk; may be repeated", "FILE[:ro]");
  command.add_option("--cpus", o.cpus, "Virtual processors (default: 2)")->type_name("N");
  command.add_option("--memory", o.memory, "Memory (default: 512M)")->type_name("SIZE");
  list("--share", o.shares, "Directory shared with the guest, read-only unless :rw; may be repeated", "DIR[:TAG][:rw]");
  list("--publish", o.publish, "Host TCP port, or unix:PATH, that leads to a port of the guest; may be repeated",
       "[ADDR:]HOST:GUEST");
  list("--option", o.options, "The hypervisor's own option; may be repeated", "KEY=VALUE");
  command.add_option("--timeout", o.timeout, "How long the boot may take")->type_name("TIME")->capture_default_str();
  command.add_flag("--console-pty,!--no-console-pty", o.console_pty,
                   "The console also on a pty, to type at; `inspect` tells which");
  command.add_flag("--fresh", o.fresh, "Discard the VM's disk; allows another rootfs or hypervisor");
  command.footer(
      "Options left out keep what the VM was booted with last. An empty value empties: --share \"\".\n"
      "Sizes: 512M, 2G. Times: 500ms, 30s, 2m.");
}

// Relative to where the user stands; a runner stands elsewhere.
std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

bool emptied(const std::vector<std::string>& list) { return list.size() == 1 && list.front().empty(); }

Result<void> fill_numbers(const BootOptions& o, pb::BootRequest& request) {
  auto& given = *request.mutable_given();
  if (!o.cpus.empty()) {
    uint32_t cpus = 0;
    const auto [end, error] = std::from_chars(o.cpus.data(), o.cpus.data() + o.cpus.size(), cpus);
    if (error != std::errc() || end != o.cpus.data() + o.cpus.size() || cpus == 0) {
      return fail(ErrorKind::invalid, "--cpus {}: is not a number of processors: use 1 or more", o.cpus);
    }
    given.set_cpus(cpus);
  }
  if (!o.memory.empty()) {
    MVM_TRY(const uint64_t bytes, parse_size("--memory", o.memory));
    if (bytes == 0) return fail(ErrorKind::invalid, "--memory {}: a VM needs some", o.memory);
    given.set_memory_bytes(bytes);
  }
  MVM_TRY(const auto timeout, parse_duration("--timeout", o.timeout));
  if (timeout.count() == 0) return fail(ErrorKind::invalid, "--timeout {}: a boot needs some time", o.timeout);
  request.set_timeout_ms(static_cast<uint32_t>(timeout.count()));
  return {};
}

Result<void> fill_lists(const BootOptions& o, pb::VmConfig& given) {
  for (const auto& text : emptied(o.disks) ? std::vector<std::string>() : o.disks) {
    MVM_TRY(const DiskText disk, parse_disk(text));
    auto* added = given.add_disks();
    added->set_path(absolute(disk.path));
    added->set_read_only(disk.read_only);
  }
  for (const auto& text : emptied(o.shares) ? std::vector<std::string>() : o.shares) {
    MVM_TRY(const ShareText share, parse_share(text));
    auto* added = given.add_shares();
    added->set_path(absolute(share.path));
    added->set_tag(share.tag);
    added->set_read_only(!share.writable);
  }
  for (const auto& text : emptied(o.publish) ? std::vector<std::string>() : o.publish) {
    MVM_TRY(const PortPair port, parse_publish(text));
    *given.add_published_ports() = published_port(port);
  }
  for (const auto& text : emptied(o.options) ? std::vector<std::string>() : o.options) {
    MVM_TRY(auto option, parse_option(text));
    (*given.mutable_options())[option.first] = option.second;
  }
  return {};
}

Result<pb::BootRequest> make_request(const GlobalOptions& globals, const BootOptions& o, const CLI::App& command) {
  pb::BootRequest request;
  MVM_TRY(const VmName name, VmName::parse(o.name));
  request.set_name(name.str());
  request.set_hypervisor(globals.hypervisor);
  request.set_plugin(absolute(globals.plugin));
  request.set_fresh(o.fresh);
  auto& given = *request.mutable_given();
  given.set_kernel(absolute(o.kernel));
  given.set_initrd(absolute(o.initrd));
  given.set_cmdline(o.cmdline);
  given.set_rootfs(absolute(o.rootfs));
  given.set_rootfs_mode(o.rootfs_mode);
  given.set_pty(o.console_pty);
  given.set_detach(o.detach);
  MVM_CHECK(fill_numbers(o, request));
  MVM_CHECK(fill_lists(o, given));
  auto& has = *request.mutable_has();
  const auto was_given = [&](const char* option) { return command.count(option) > 0; };
  has.set_kernel(was_given("--kernel"));
  has.set_initrd(was_given("--initrd"));
  has.set_cmdline(was_given("--cmdline"));
  has.set_rootfs(was_given("--rootfs"));
  has.set_rootfs_mode(was_given("--rootfs-mode"));
  has.set_disks(was_given("--disk"));
  has.set_cpus(was_given("--cpus"));
  has.set_memory(was_given("--memory"));
  has.set_shares(was_given("--share"));
  has.set_published_ports(was_given("--publish"));
  has.set_options(was_given("--option"));
  has.set_pty(was_given("--console-pty"));
  has.set_detach(!o.detach.empty());
  return request;
}

RunOptions run_options(const GlobalOptions& globals, bool foreground) {
  RunOptions options;
  options.foreground = foreground;
  options.log_level = globals.verbose > 0 ? log::Level::debug : log::Level::info;
  options.default_hypervisor = default_hypervisor();
  return options;
}

// `run`: what the boot comes to is told on standard error.
class ForegroundReporter final : public BootReporter {
 public:
  explicit ForegroundReporter(const GlobalOptions& globals) : bar_("copying the rootfs", globals.quiet) {}
  void copying(uint64_t done_bytes, uint64_t total_bytes) override { bar_.show(done_bytes, total_bytes); }
  void running() override { bar_.finish(); }  // the log tells
  void failed(const Error& error) override {
    bar_.finish();
    std::cerr << "mvmhost: " << error.message << '\n';
  }

 private:
  ProgressBar bar_;
};

Result<int> run_foreground(const GlobalOptions& globals, const pb::BootRequest& request) {
  MVM_TRY(const VmStore store, globals.store());
  if (globals.verbose == 0 && !globals.quiet) log::to_stderr(log::Level::info);
  // Lives until _exit: callbacks of the plugin's may still come.
  auto* loop = new boost::asio::io_context(1);
  ForegroundReporter reporter(globals);
  return run_vm(*loop, store, request, run_options(globals, true), reporter, [](const StopRunner&) {});
}

// The runner that `boot` spawned.
Result<int> run_launched(const GlobalOptions& globals, const std::string& launched_at) {
  MVM_TRY(const VmStore store, globals.store());
  // As above.
  log::to_stderr(log::Level::off);  // that is the launcher's terminal, which hears of failures by report
  auto* loop = new boost::asio::io_context(1);
  pb::BootRequest request;
  std::error_code ignored;
  std::filesystem::current_path("/", ignored);  // keeps no file system busy that the user stood in
  MVM_TRY(auto reporter, LaunchedReporter::receive(*loop, launched_at, request));
  return run_vm(*loop, store, request, run_options(globals, false), *reporter,
                [&](StopRunner stop) { reporter->on_abandoned(std::move(stop)); });
}

// Who kept the runner at the last boot: --detach.
std::string recorded_keeper(const VmStore& store, const VmName& name) {
  const auto record = store.look(name);
  return record ? record->spec().detach() : std::string();
}

Result<int> boot(const GlobalOptions& globals, const pb::BootRequest& request) {
  MVM_TRY(const VmStore store, globals.store());
  std::vector<std::string> arguments = {"--home", store.home().string()};
  if (globals.verbose > 0) arguments.emplace_back("-v");
  arguments.insert(arguments.end(), {"run", "--launched", request.name()});
  const VmName name = *VmName::parse(request.name());
  const StartRunner start = [&] {
    const std::string before = recorded_keeper(store, name);
    const std::string& now = request.has().detach() ? request.given().detach() : before;
    if (now == "launchd") return start_by_launchd(store, name, arguments);
    return before == "launchd" ? start_without_launchd(store, name, arguments) : start_as_child(arguments);
  };
  ProgressBar bar("copying the rootfs", globals.quiet);
  const auto explain_death = [&] { return CrashNote::where(store.paths(name).crash_note()); };
  constexpr std::chrono::milliseconds slack{5'000};
  const auto booted = boot_detached(
      start, request, boot_timeout(request) + slack, [&](uint64_t done, uint64_t total) { bar.show(done, total); },
      explain_death);
  bar.finish();
  if (!booted) store.keep_last_words(name);
  MVM_CHECK(booted);
  return 0;
}

}  // namespace

void add_boot(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* boot_command = app.add_subcommand("boot", "Boot a VM in the background; returns when it runs");
  auto boot_options = std::make_shared<BootOptions>();
  add_options(*boot_command, *boot_options);
  boot_command
      ->add_option("--detach", boot_options->detach,
                   "plain: a process of a session of its own; launchd: a job of launchd's (macOS)")
      ->check(CLI::IsMember({"plain", "launchd"}));
  boot_command->callback([&globals, &action, boot_command, boot_options] {
    action = [&globals, boot_command, boot_options]() -> Result<int> {
      MVM_TRY(const auto request, make_request(globals, *boot_options, *boot_command));
      return boot(globals, request);
    };
  });

  auto* run_command = app.add_subcommand("run", "Boot a VM and stay with it; SIGTERM and SIGINT stop it gracefully");
  auto options = std::make_shared<BootOptions>();
  add_options(*run_command, *options);
  run_command->add_flag("--launched", options->launched)->group("");
  run_command->add_option("--launched-at", options->launched_at)->group("");
  run_command->callback([&globals, &action, run_command, options] {
    action = [&globals, run_command, options]() -> Result<int> {
      if (options->launched) return run_launched(globals, options->launched_at);
      MVM_TRY(const auto request, make_request(globals, *options, *run_command));
      return run_foreground(globals, request);
    };
  });
}

}  // namespace mvm::host
