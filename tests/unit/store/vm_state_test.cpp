// SPDX-License-Identifier: Apache-2.0
#include "store/vm_state.hpp"

#include <vector>

#include "support/catch.hpp"

using namespace mvm::host;

namespace {
const std::vector<VmState> all_states = {VmState::starting, VmState::running, VmState::paused, VmState::stopping,
                                         VmState::stopped,  VmState::crashed, VmState::failed};
}

TEST_CASE("only a VM that isn't active can begin to boot") {
  for (const VmState state : all_states) {
    CAPTURE(to_string(state));
    CHECK(next_state(state, VmHappening::boot_begins).has_value() == !is_active(state));
  }
}

TEST_CASE("every active state has a way to end and a way to crash") {
  for (const VmState state : all_states) {
    if (!is_active(state)) continue;
    CAPTURE(to_string(state));
    CHECK(next_state(state, VmHappening::ended) == VmState::stopped);
    CHECK(next_state(state, VmHappening::crashed) == VmState::crashed);
  }
}

TEST_CASE("a VM that isn't active stays as it is but for a boot") {
  for (const VmState state : {VmState::stopped, VmState::crashed, VmState::failed}) {
    for (const auto happening : {VmHappening::boot_done, VmHappening::boot_failed, VmHappening::stop_begins,
                                 VmHappening::ended, VmHappening::crashed, VmHappening::paused, VmHappening::resumed}) {
      CHECK_FALSE(next_state(state, happening));
    }
  }
}

TEST_CASE("every state's name is read back as that state, and no other text is") {
  for (const VmState state : all_states) CHECK(parse_vm_state(to_string(state)) == state);
  CHECK_FALSE(parse_vm_state("Running"));
  CHECK_FALSE(parse_vm_state(""));
}
