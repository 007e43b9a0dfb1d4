// SPDX-License-Identifier: Apache-2.0
#include "share/sharing_support.hpp"

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <unistd.h>

#include "mvm/hypervisor.hpp"
#include "process/child_process.hpp"

namespace mvm::qemu {
namespace {

// A switch, the value that forbids user namespaces to ordinary users, and the one that allows them.
struct Switch {
  const char* name;
  const char* path;
  long forbids;
  const char* allows;
};
constexpr std::array<Switch, 3> switches{{
    {"kernel.unprivileged_userns_clone", "/proc/sys/kernel/unprivileged_userns_clone", 0, "1"},  // Debian, Arch
    {"kernel.apparmor_restrict_unprivileged_userns", "/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 1,
     "0"},  // Ubuntu from 23.10 on
    {"user.max_user_namespaces", "/proc/sys/user/max_user_namespaces", 0, "15000"},
}};

std::map<std::string, long> read_sysctls() {
  std::map<std::string, long> values;
  for (const Switch& s : switches) {
    long value = 0;
    if (std::ifstream(s.path) >> value) values[s.name] = value;
  }
  return values;
}

std::vector<std::string> programs_of_this_system() {
  const char* const named = ::secure_getenv("MVM_VIRTIOFSD");
  if (named != nullptr && *named != '\0') return {named};
  return {"/usr/libexec/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/qemu/virtiofsd"};
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::optional<std::string> first_program(const std::vector<std::string>& programs) {
  for (const std::string& program : programs) {
    if (program.starts_with('/') && ::access(program.c_str(), X_OK) == 0) return program;
  }
  return std::nullopt;
}

std::string not_known(const std::string& program, const std::string& output) {
  return program + ": is not a virtiofsd that is known here; --version says: " + output.substr(0, output.find('\n'));
}

struct Trial {
  std::optional<ExitStatus> status;
  std::string output;
  std::string error;     // it was not started, or did not end
  bool refused = false;  // it is the namespaces
};

Trial run(const ChildProcess::Command& command, std::chrono::milliseconds timeout) {
  boost::asio::io_context loop{1};
  std::unique_ptr<ChildProcess> child;
  Trial trial;
  boost::asio::post(loop, [&] {
    child = ChildProcess::start(loop, command);
    child->on_exit([&](ExitStatus status) {
      trial.status = status;
      trial.output = child->last_output();
    });
  });
  try {
    loop.run_for(timeout);
    if (!trial.status) trial.error = command.arguments[0] + ": --version does not end";
  } catch (const PreparationError& e) {
    trial.error = e.what();
    trial.refused = true;
  } catch (const std::exception& e) {
    trial.error = e.what();
  }
  child.reset();  // before its loop
  return trial;
}

Trial try_in_namespaces(const SharingProbe& probe, const std::string& program, Privilege privilege) {
  const UniqueFd directory(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  ChildProcess::Command command{{program, "--version"}, {{directory.get(), daemon_directory}}, {}};
  command.prepare = [&probe, own = ShareNamespace(privilege)] { return probe.enter(own, daemon_directory); };
  return run(command, probe.timeout);
}

}  // namespace

SharingProbe SharingProbe::of_this_system() {
  SharingProbe probe;
  probe.programs = programs_of_this_system();
  if (::geteuid() == 0) probe.privileges.push_back(Privilege::root);
  probe.privileges.push_back(Privilege::user_namespace);
  probe.sysctls = read_sysctls();
  probe.enter = [](const ShareNamespace& own, int directory) {
    // Over /sys, which every system has, and a --version no use for.
    if (const int error = own.enter(directory, "/sys", true)) return error;
    if (const int error = ShareNamespace::try_sandbox()) return error;
    return limit_open_files();
  };
  return probe;
}

std::string explain_refusal(const std::map<std::string, long>& sysctls, std::string_view error) {
  for (const Switch& s : switches) {
    const auto found = sysctls.find(s.name);
    if (found == sysctls.end() || found->second != s.forbids) continue;
    const std::string name = s.name;
    return "share_dir: user namespaces are off here (" + name + "=" + std::to_string(s.forbids) +
           "); run mvmhost as root, or allow them: sysctl -w " + name + "=" + s.allows;
  }
  return "share_dir: neither root's privileges nor a user namespace can be had here (" + std::string(error) +
         "); in a container, run it with --privileged";
}

SharingSupport find_sharing(const SharingProbe& probe) {
  SharingSupport support;
  const auto program = first_program(probe.programs);
  if (!program) {
    support.reason = "share_dir: virtiofsd was not found (" + joined(probe.programs) +
                     "); install it: apt install virtiofsd, on Debian 12 and Ubuntu 22.04 qemu-system-common";
    return support;
  }
  for (const Privilege privilege : probe.privileges) {
    const Trial trial = try_in_namespaces(probe, *program, privilege);
    if (trial.refused) {
      support.reason = explain_refusal(probe.sysctls, trial.error);
      continue;
    }
    const auto version = parse_daemon_version(trial.output);
    if (version) return {true, "", *program, *version, privilege};
    support.reason = "share_dir: " + (trial.error.empty() ? not_known(*program, trial.output) : trial.error);
    return support;
  }
  return support;
}

}  // namespace mvm::qemu
