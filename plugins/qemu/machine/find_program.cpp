// SPDX-License-Identifier: Apache-2.0
#include "find_program.hpp"

#include <algorithm>
#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {
namespace {

bool is_program(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

template <class Fn>
void each_directory(std::string_view path, Fn&& fn) {
  while (!path.empty()) {
    const size_t colon = std::min(path.find(':'), path.size());
    if (path.starts_with('/')) fn(path.substr(0, colon));  // a relative one depends on where we happen to be
    path.remove_prefix(std::min(colon + 1, path.size()));
  }
}

struct PackageTool {
  const char* program;
  const char* command;
  const char* x86_64;
  const char* arm64;
};

constexpr PackageTool package_tools[] = {
    {"/usr/bin/apt-get", "apt-get install", "qemu-system-x86", "qemu-system-arm"},
    {"/usr/bin/dnf", "dnf install", "qemu-system-x86-core", "qemu-system-aarch64-core"},
    {"/usr/bin/pacman", "pacman -S", "qemu-system-x86", "qemu-system-aarch64"},
    {"/usr/bin/zypper", "zypper install", "qemu-x86", "qemu-arm"},
    {"/sbin/apk", "apk add", "qemu-system-x86_64", "qemu-system-aarch64"},
};

}  // namespace

std::string find_program(std::string_view name, std::string_view path) {
  std::string found;
  each_directory(path, [&](std::string_view directory) {
    const std::string candidate = std::string(directory) + "/" + std::string(name);
    if (found.empty() && is_program(candidate)) found = candidate;
  });
  return found;
}

std::string install_command(Architecture architecture, const std::function<bool(const std::string& path)>& exists) {
  for (const PackageTool& tool : package_tools) {
    if (!exists(tool.program)) continue;
    return std::string(tool.command) + " " + (architecture == Architecture::x86_64 ? tool.x86_64 : tool.arm64);
  }
  return {};
}

std::string find_qemu(Architecture architecture) {
  const std::string name(program_name(architecture));
  const char* path = std::getenv("PATH");
  constexpr std::string_view usual = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string_view directories : {std::string_view(path == nullptr ? "" : path), usual}) {
    std::string found = find_program(name, directories);
    if (!found.empty()) return found;
  }
  if (is_program("/usr/libexec/qemu-kvm")) return "/usr/libexec/qemu-kvm";  // Red Hat's only one
  const std::string command = install_command(architecture, is_program);
  throw Error(MVM_ERR_UNSUPPORTED,
              name + ": not found; " + (command.empty() ? "install QEMU" : "install it with: " + command));
}

}  // namespace mvm::qemu
