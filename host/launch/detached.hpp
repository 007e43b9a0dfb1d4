// SPDX-License-Identifier: Apache-2.0
// `boot`: a runner of its own session, and the wait until its VM runs.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"
#include "store/vm_store.hpp"

#include "mvm/host/control.pb.h"

namespace mvm::host {

using ShowProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// A runner that waits for its request.
struct StartedRunner {
  pid_t pid = 0;
  bool is_child = true;  // of this process
  UniqueFd socket = {};
  UniqueFd turn = {};  // start_by_launchd's; held as long as the boot is waited for
};
using StartRunner = std::function<Result<StartedRunner>()>;

// `arguments` of this executable, in a session of its own, with the socket as its descriptor 3.
Result<StartedRunner> start_as_child(const std::vector<std::string>& arguments);

// The same as a job of launchd's (launchd_job.hpp): told with --launched-at at which socket it is waited for. To start
// a job its old one is taken out, which would end a VM that runs: so where one runs, or is booted by launchd just now,
// the runner is started as a child, and says so. Errors: deadline (launchd did not start it), unsupported, failed.
Result<StartedRunner> start_by_launchd(const VmStore& store, const VmName& name, std::vector<std::string> arguments);

// The same as a child, for a VM that launchd kept before: its job is taken out.
Result<StartedRunner> start_without_launchd(const VmStore& store, const VmName& name,
                                            const std::vector<std::string>& arguments);

// Starts a runner, hands it the request and waits for its report. Errors: the runner's own; failed when it died without
// one. A runner that no longer hears, or says nothing for `silence` since its whole process was stopped (SIGSTOP), is
// killed: failed, deadline. If this process ends first, the runner gives up the boot.
Result<void> boot_detached(const StartRunner& start, const pb::BootRequest& request, std::chrono::milliseconds silence,
                           const ShowProgress& progress, const std::function<std::string()>& explain_death);

}  // namespace mvm::host
