// SPDX-License-Identifier: Apache-2.0
// What the mock can do, and whether a VmSpec keeps to it.
#pragma once

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::mock {

v1::HypervisorInfo describe();

// Throws mvm::Error with the first thing that is wrong. Options and shares are checked where they are parsed.
void check_spec(const v1::VmSpec& spec);

}  // namespace mvm::mock
