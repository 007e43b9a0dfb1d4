// SPDX-License-Identifier: Apache-2.0
#include "share/daemon_arguments.hpp"

#include <algorithm>

namespace mvm::qemu {
namespace {

// As fuse_opt takes a value: commas end it, a backslash protects the next character.
std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string leading_version(std::string_view text) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  return std::string(text.substr(0, end));
}

std::vector<std::string> arguments_for_c(const std::string& program, const std::string& source) {
  return {program,
          "-f",
          "--fd=" + std::to_string(daemon_socket),
          "--rlimit-nofile=0",
          "--thread-pool-size=0",
          "-o",
          "source=" + escaped(source),
          "-o",
          "sandbox=namespace,cache=auto,announce_submounts,modcaps=-mknod,log_level=warn"};
}

std::vector<std::string> arguments_for_rust(const std::string& program, const std::string& source) {
  return {program,
          "--fd=" + std::to_string(daemon_socket),
          "--rlimit-nofile=0",
          "--thread-pool-size=0",
          "--shared-dir=" + source,
          "--sandbox=namespace",
          "--cache=auto",
          "--announce-submounts",
          "--modcaps=-mknod",
          "--log-level=warn"};
}

}  // namespace

std::optional<DaemonVersion> parse_daemon_version(std::string_view output) {
  constexpr std::string_view c = "virtiofsd version ";
  constexpr std::string_view rust = "virtiofsd ";
  DaemonVersion version;
  if (output.starts_with(c)) {
    version = {DaemonKind::c, leading_version(output.substr(c.size()))};
  } else if (output.starts_with(rust)) {
    version = {DaemonKind::rust, leading_version(output.substr(rust.size()))};
  }
  if (version.number.empty()) return std::nullopt;
  return version;
}

std::vector<std::string> daemon_arguments(DaemonKind kind, const std::string& program, const std::string& source) {
  return kind == DaemonKind::c ? arguments_for_c(program, source) : arguments_for_rust(program, source);
}

}  // namespace mvm::qemu
