// SPDX-License-Identifier: Apache-2.0
// Runs the checks of host/check in child processes of this executable, each with a deadline: a plugin that crashes or
// hangs costs one check.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "check/check.hpp"

namespace mvm::host {

struct CheckOutcome {
  size_t number = 0;  // in check::all_checks()
  check::Finding finding = {};
  int64_t ms = 0;
};

// numbers: which. arguments: this executable's, for a child; "--child-checks N,N,... --child-note FILE" is appended.
// done: after each. Checks that share a VM go to one child where check::subject().one_vm says so.
Result<void> run_checks(const std::vector<size_t>& numbers, const std::vector<std::string>& arguments,
                        const std::function<void(const CheckOutcome&)>& done);

// The child's part: runs them in turn, tells the parent of each on launch_fd, notes the calls in `note`
// (crash_note.hpp). Returns the exit code.
int run_checks_as_child(const std::vector<size_t>& numbers, const std::string& note);

}  // namespace mvm::host
