// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::apple_vz {

// What the hypervisor can do on this Mac. Throws FrameworkFailure.
v1::HypervisorInfo describe();

}  // namespace mvm::apple_vz
