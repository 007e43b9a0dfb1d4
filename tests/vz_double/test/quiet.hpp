// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "support/catch.hpp"
#include "vz_double.h"

namespace mvm::vz_double::test {

// Nothing of the framework is left when it goes.
struct Quiet {
  explicit Quiet(const char* faults = "") { vz_double_set_faults(faults); }
  ~Quiet() {
    vz_double_set_faults("");
    char alive[1024];
    const bool quiet = vz_double_wait_until_quiet(5000) != 0;
    vz_double_describe_live_objects(alive, sizeof alive);
    INFO("alive: " << alive << "queues: " << vz_double_live_queues());
    CHECK(quiet);
  }
};

}  // namespace mvm::vz_double::test
