// SPDX-License-Identifier: Apache-2.0
// Another program, run to its end.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace mvm::host {

struct ProgramEnd {
  int exit_code = 0;   // 128 + the signal's number where one ended it
  std::string output;  // what it wrote to standard output and error, 64 KiB at most
};

// Runs command[0], looked for in PATH, without input, and waits; killed when it takes longer than `limit`. Blocks.
// Errors: unsupported (there is no such program), deadline, failed.
Result<ProgramEnd> run_program(const std::vector<std::string>& command, std::chrono::milliseconds limit);

}  // namespace mvm::host
