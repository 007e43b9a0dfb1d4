// SPDX-License-Identifier: Apache-2.0
// A machine whose VM runs the plain spec, for tests of what can be done with one. Where a boot takes seconds
// (MVM_CONTRACT_ONE_VM) all test cases of a process get the same one, and each leaves it as it found it.
#pragma once

#include "check/machine.hpp"

namespace mvm::host::check {

class RunningVm {
 public:
  RunningVm();
  RunningVm(const RunningVm&) = delete;
  RunningVm& operator=(const RunningVm&) = delete;
  // What was shared is taken away again. A VM that a failed test leaves behind is not given to the next.
  ~RunningVm();

  Machine& operator*() const { return *machine_; }

  // Ends the one that is kept: before a test makes a machine of its own, since a process has one instance.
  static void drop_kept();

 private:
  std::shared_ptr<Machine> machine_;
  int exceptions_;
};

}  // namespace mvm::host::check
