// SPDX-License-Identifier: Apache-2.0
// From a VmSpec to what the framework is told: the one place where a field of a spec becomes a device of a machine.
#pragma once

#include <string>

#include "bridge/machine_plan.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::apple_vz {

// Throws mvm::Error with the first thing that cannot be here: MVM_ERR_INVALID, or MVM_ERR_UNSUPPORTED with the macOS
// that has it. Reads, and at the first boot writes, the VM's identifier in state_dir.
MachinePlan make_plan(const v1::VmSpec& spec, const std::string& state_dir);

}  // namespace mvm::apple_vz
