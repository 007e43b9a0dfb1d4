// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "internal.hpp"

NS_ASSUME_NONNULL_BEGIN
namespace mvm::vz_double {

// nil when a machine can be made from it.
NSError* _Nullable problem_with(VZVirtualMachineConfiguration* configuration);

// What of it the simulated guest takes. The descriptors are borrowed from the configuration.
MachineSpec machine_spec(VZVirtualMachineConfiguration* configuration);

}  // namespace mvm::vz_double
NS_ASSUME_NONNULL_END
