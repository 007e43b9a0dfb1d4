// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "cli/command_line.hpp"

int main(int argc, char** argv) {
  const int exit_code = mvm::host::run_command_line(argc, argv);
  // A loaded plugin's static destructors and threads have no say in how a command ends.
  ::_exit(exit_code);
}
