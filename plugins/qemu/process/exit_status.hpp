// SPDX-License-Identifier: Apache-2.0
// How a process ended.
#pragma once

#include <string>

namespace mvm::qemu {

struct ExitStatus {
  enum class Kind {
    exited,
    killed,
    unknown,  // somebody else waited for it: the host's process ignores SIGCHLD, or reaps every child
  };

  Kind kind = Kind::unknown;
  int code = 0;    // of exited
  int signal = 0;  // of killed

  bool clean() const noexcept { return kind == Kind::exited && code == 0; }
  // For the middle of a sentence: "ended with exit code 3", "was killed by SIGKILL".
  std::string describe() const;

  bool operator==(const ExitStatus&) const = default;
};

}  // namespace mvm::qemu
