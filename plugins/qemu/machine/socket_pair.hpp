// SPDX-License-Identifier: Apache-2.0
// How QEMU's end of a connection is made: no path in a file system, nobody else to connect.
#pragma once

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};

// Both ends close-on-exec and blocking. Throws mvm::Error.
SocketPair make_socket_pair();

}  // namespace mvm::qemu
