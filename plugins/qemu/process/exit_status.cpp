// SPDX-License-Identifier: Apache-2.0
#include "exit_status.hpp"

#include <string.h>  // sigabbrev_np: not in <cstring>'s promise

namespace mvm::qemu {

std::string ExitStatus::describe() const {
  switch (kind) {
    case Kind::exited:
      return "ended with exit code " + std::to_string(code);
    case Kind::killed: {
      const char* name = ::sigabbrev_np(signal);
      return "was killed by " + (name != nullptr ? "SIG" + std::string(name) : "signal " + std::to_string(signal));
    }
    case Kind::unknown:
      break;
  }
  return "ended in a way that nobody saw";
}

}  // namespace mvm::qemu
