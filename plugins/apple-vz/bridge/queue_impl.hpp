// SPDX-License-Identifier: Apache-2.0
// For the .mm files of this room: what is under a Queue.
#pragma once

#include "queue.hpp"

namespace mvm::apple_vz {

struct Queue::Impl {
  dispatch_queue_t queue;
  OnProblem on_problem;

  void run(const Fn& fn) const;
};

}  // namespace mvm::apple_vz
