// SPDX-License-Identifier: Apache-2.0
// Whether directories can be shared on this system, and how.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "share/daemon_arguments.hpp"
#include "share/share_namespace.hpp"

namespace mvm::qemu {

struct SharingSupport {
  bool supported = false;
  std::string reason;  // when not: a sentence for MVM_ERR_UNSUPPORTED, with what mends it
  std::string program;
  DaemonVersion version;
  Privilege privilege = Privilege::user_namespace;
};

// What find_sharing looks at. Tests give it another system.
struct SharingProbe {
  // $MVM_VIRTIOFSD alone if that is set, which a privileged process ignores; else where distributions have it.
  static SharingProbe of_this_system();

  std::vector<std::string> programs;    // absolute paths, the first that exists counts
  std::vector<Privilege> privileges;    // in the order in which they are tried
  std::map<std::string, long> sysctls;  // those of user_namespace_sysctls() that this kernel has

  // In a child before exec: 0, or an errno after words on descriptor 2. Does all that a share's daemon will need.
  std::function<int(const ShareNamespace&, int directory)> enter;

  std::chrono::milliseconds timeout{10'000};  // for each privilege
};

// Runs `virtiofsd --version` in namespaces like those of a share, and waits for it: some 50 ms, and never more than
// probe.timeout for each privilege. It has a loop of its own, so it may be called on any thread. Does not throw.
SharingSupport find_sharing(const SharingProbe& probe = SharingProbe::of_this_system());

// Why a user namespace was refused, and what mends it, from the switches that kernels and distributions have for it.
// error: what the trial said.
std::string explain_refusal(const std::map<std::string, long>& sysctls, std::string_view error);

}  // namespace mvm::qemu
