// SPDX-License-Identifier: Apache-2.0
// To whom a runner tells how its boot goes.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.hpp"

namespace mvm::host {

// On the loop. Exactly one of running and failed, once.
class BootReporter {
 public:
  virtual ~BootReporter() = default;
  virtual void copying(uint64_t done_bytes, uint64_t total_bytes) = 0;
  virtual void running() = 0;
  virtual void failed(const Error& error) = 0;
  // A descriptor that hangs up when nobody waits for the boot any more; -1: there is none.
  virtual int caller() const { return -1; }
};

}  // namespace mvm::host
