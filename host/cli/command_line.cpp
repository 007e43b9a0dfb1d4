// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/utf8.hpp"
#include "cli/command.hpp"

namespace mvm::host {
namespace {

void add_globals(CLI::App& app, GlobalOptions& globals) {
  auto* hypervisor =
      app.add_option("--hypervisor", globals.hypervisor, "Hypervisor plugin, by name (default: $MVM_HYPERVISOR)")
          ->type_name("NAME");
  app.add_option("--plugin", globals.plugin, "Hypervisor plugin, by file")->type_name("PATH")->excludes(hypervisor);
  app.add_option("--home", globals.home, "State directory (default: $MVM_HOME or ~/.mvm)")->type_name("DIR");
  app.add_option("--output", globals.output, "How results are printed")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  auto* verbose = app.add_flag("-v,--verbose", globals.verbose, "Say more; twice: still more");
  app.add_flag("-q,--quiet", globals.quiet, "Say errors only")->excludes(verbose);
}

constexpr const char* exit_codes =
    "Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 no such VM or hypervisor, 4 deadline passed,\n"
    "5 unsupported by this hypervisor.";

log::Level stderr_level(const GlobalOptions& globals) {
  if (globals.quiet) return log::Level::off;
  if (globals.verbose >= 2) return log::Level::debug;
  return globals.verbose == 1 ? log::Level::info : log::Level::warn;
}

Result<int> attempt(const Action& action) {
  try {
    return action();
  } catch (const std::exception& e) {  // of the standard library and Asio: no memory, a working directory that is gone
    return fail(ErrorKind::failed, "{}", e.what());
  }
}

// Descriptors 0 to 2 are taken, so that nothing of ours becomes standard output.
void open_standard_descriptors() {
  int fd = 0;
  do {
    fd = ::open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd >= 0) ::close(fd);
}

// What is typed becomes part of the record, which is UTF-8.
int first_that_is_not_utf8(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (!is_utf8(argv[i])) return i;
  }
  return 0;
}

int run(const GlobalOptions& globals, const Action& action) {
  log::to_stderr(stderr_level(globals));
  std::signal(SIGPIPE, SIG_IGN);
  const Result<int> result = attempt(action);
  if (result) return *result;
  std::cerr << "mvmhost: " << result.error().message << '\n';
  return static_cast<int>(result.error().kind);
}

// CLI11's own words for bad usage, in our voice.
int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) {  // --help, --version
    app.exit(error, std::cout, std::cerr);
    std::cout.flush();
    return std::cout ? 0 : static_cast<int>(ErrorKind::failed);
  }
  // CLI11 says that a command is missing before it says that this one is unknown.
  const auto unknown = app.remaining();
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  const bool mistyped = missing && app.get_subcommands().empty() && !unknown.empty();
  std::cerr << "mvmhost: " << (mistyped ? unknown.front() + ": no such command" : error.what())
            << "\nTry `mvmhost --help`.\n";
  return static_cast<int>(ErrorKind::invalid);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  open_standard_descriptors();
  if (const int i = first_that_is_not_utf8(argc, argv); i != 0) {
    std::cerr << "mvmhost: argument " << i << ": \"" << as_utf8(argv[i]) << "\" is not UTF-8: rename it\n";
    return static_cast<int>(ErrorKind::invalid);
  }
  GlobalOptions globals;
  Action action;
  CLI::App app("Boots and runs micro virtual machines through a hypervisor plugin.", "mvmhost");
  app.set_version_flag("--version", std::string("mvmhost ") + MVM_VERSION);
  app.footer(exit_codes);
  app.require_subcommand(1);
  app.fallthrough();
  add_globals(app, globals);
  for (const auto add : {add_boot, add_stop, add_list, add_inspect, add_vsock_connect, add_share, add_publish,
                         add_pause, add_logs, add_wait, add_rm, add_plugins, add_doctor, add_plugin}) {
    add(app, globals, action);
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) command->fallthrough();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  }
  return run(globals, action);
}

std::string default_hypervisor() {
  const char* environment = std::getenv("MVM_HYPERVISOR");
  return environment != nullptr && *environment != '\0' ? environment : MVM_DEFAULT_HYPERVISOR;
}

Result<void> print(std::string_view text) {
  if (write_all(STDOUT_FILENO, text)) return {};
  return fail(ErrorKind::failed, "standard output: {}", errno_words(errno));
}

void note(const GlobalOptions& globals, std::string_view text) {
  if (!globals.quiet) std::cerr << "mvmhost: " << text << '\n';
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - row[i].size() + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

}  // namespace mvm::host
