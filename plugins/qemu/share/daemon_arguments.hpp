// SPDX-License-Identifier: Apache-2.0
// The two programs called virtiofsd, and how each is spoken to.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mvm::qemu {

// Both serve the same protocol. The one in C came with QEMU up to 7.2 (Debian 12, Ubuntu 22.04); the one in Rust is a
// project of its own (Debian 13, Ubuntu 24.04, Fedora). This tree's tests run the first one really; of the second one
// only its command line is imitated, from the documentation of version 1.13.
enum class DaemonKind { c, rust };

struct DaemonVersion {
  DaemonKind kind = DaemonKind::c;
  std::string number;  // "7.2.22"

  bool operator==(const DaemonVersion&) const = default;
};

// From what --version wrote; nothing when it is neither.
std::optional<DaemonVersion> parse_daemon_version(std::string_view output);

// The numbers of its descriptors in the daemon's process.
constexpr int daemon_socket = 3;
constexpr int daemon_directory = 4;  // until it is mounted

// The command that serves `source`, an absolute path in the daemon's mount namespace, to who connects to daemon_socket.
// - its own sandbox on top of ours (PID, network and mount namespace, pivot_root, seccomp, few capabilities);
// - no device nodes: a guest's root could leave one for somebody on the host to open;
// - attributes cached for a second, so that the host's changes are seen; no writeback cache, as there is nobody who
//   could take it back;
// - no extended attributes: a guest's would be the host's, security.* among them;
// - one thread (the default of both): with more, Debian 12's is killed by its own seccomp filter, which knows nothing
// of
//   the sched_getaffinity that glibc's threads begin with;
// - the limit of open files left as it was prepared.
std::vector<std::string> daemon_arguments(DaemonKind kind, const std::string& program, const std::string& source);

}  // namespace mvm::qemu
