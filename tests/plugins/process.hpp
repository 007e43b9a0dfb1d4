// SPDX-License-Identifier: Apache-2.0
// For plugins that end their process: a child, and what it said before.
#pragma once

#include <functional>
#include <string>

namespace mvm::test {

struct ChildEnd {
  int wait_status = 0;
  std::string said;
};

// Runs fn in a child process; `say` reaches the parent even if the child dies in the next instruction. A child that
// returns from fn, or throws, exits with 0.
ChildEnd run_in_child(const std::function<void(const std::function<void(const std::string&)>& say)>& fn);

}  // namespace mvm::test
