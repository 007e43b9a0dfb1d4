// SPDX-License-Identifier: Apache-2.0
// `boot`: a runner of its own session, and the wait until its VM runs.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"

#include "mvm/host/control.pb.h"

namespace mvm::host {

using ShowProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Spawns `arguments` of this executable in a session of its own, hands it the request over a socket (its descriptor 3)
// and waits for its report. Errors: the runner's own; failed when it died without one. A runner that no longer hears,
// or says nothing for `silence` since its whole process was stopped (SIGSTOP), is killed: failed, deadline. If this
// process ends first, the runner gives up the boot.
Result<void> boot_detached(const std::vector<std::string>& arguments, const pb::BootRequest& request,
                           std::chrono::milliseconds silence, const ShowProgress& progress,
                           const std::function<std::string()>& explain_death);

}  // namespace mvm::host
