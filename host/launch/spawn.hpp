// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.hpp"

namespace mvm::host {

// Starts this executable again, in a session of its own, with `fd` as its descriptor launch_fd and default signals.
Result<pid_t> spawn_self(const std::vector<std::string>& arguments, int fd);

// The descriptor that a spawned process finds its socket at.
inline constexpr int launch_fd = 3;

// Waits for a child and says how it ended: "ended by signal 11 (Segmentation fault)".
std::string how_child_ended(pid_t pid);

}  // namespace mvm::host
