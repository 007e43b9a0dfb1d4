// SPDX-License-Identifier: Apache-2.0
// How a QEMU ended, and what that says about the guest.
#pragma once

#include <string>

#include "mvm/hypervisor.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "process/exit_status.hpp"

namespace mvm::qemu {

// What was seen until the process was gone.
struct QemuEnd {
  std::string program;
  ExitStatus status;
  std::string shutdown_reason;  // of its last SHUTDOWN event; its exit status alone says nothing
  bool panicked = false;        // GUEST_PANICKED came
  std::string fault;            // why we killed it ourselves; empty: nobody had to
  std::string output;           // its last lines
};

struct ExitCause {
  v1::ExitReason reason = v1::EXIT_REASON_UNSPECIFIED;
  std::string detail;
};

// stopping: a stop was asked for.
ExitCause explain_exit(const QemuEnd& end, bool stopping);

// For a QEMU that ended before the guest ran: what in the spec was wrong, as far as its words tell, else these words.
Error explain_failed_start(const v1::VmSpec& spec, const QemuEnd& end);

}  // namespace mvm::qemu
