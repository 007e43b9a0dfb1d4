// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mvm::host {

// Parses, runs the command, prints its error, and returns the exit code (ErrorKind; 0: done).
int run_command_line(int argc, char** argv);

}  // namespace mvm::host
