// SPDX-License-Identifier: Apache-2.0
// The child's half of ChildProcess::start: from fork to exec. A fork of a process with threads may call nothing but
// async-signal-safe functions, so everything is laid out by the parent beforehand.
#pragma once

#include <functional>
#include <vector>

#include <sys/types.h>

namespace mvm::qemu {

enum class ChildStep : int { setup, prepare, exec };

// What a child that could not exec writes to its report pipe.
struct ChildFailure {
  ChildStep step;
  int error;  // errno, or what prepare returned
};

struct DescriptorMove {
  int ours;
  int number;  // in the child
  int spare;   // the child's own, above every number
};

struct ChildPlan {
  pid_t parent;
  std::vector<DescriptorMove> moves;  // by rising number, from 0 on
  int report;                         // close-on-exec
  const std::function<int()>* prepare;
  const char* program;
  char* const* arguments;
  char* const* environment;
};

// Expects every signal to be blocked. Ends in the program, or with a ChildFailure on the report pipe.
[[noreturn]] void exec_in_child(ChildPlan& plan) noexcept;

}  // namespace mvm::qemu
