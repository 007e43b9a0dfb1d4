// SPDX-License-Identifier: Apache-2.0
// The executable mvmhost, and one run of it.
#pragma once

#include <string>
#include <vector>

#include "failure.hpp"

namespace mvm::client {

// The executable: `program` if that isn't empty, else $MVMHOST, else in PATH, else beside this library. A name without
// '/' is looked for in PATH. Throws Failure.
std::string find_program(const std::string& program);

// The environment as it is now: KEY=VALUE.
std::vector<std::string> copy_environment();

// Runs it and returns what it wrote to standard output. Throws Failure with its exit code and what it wrote to standard
// error, or MVMC_DEADLINE: it was asked to end by then, and killed 5 s later.
std::string run(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                Clock::time_point deadline);

}  // namespace mvm::client
