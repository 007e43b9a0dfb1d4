// SPDX-License-Identifier: Apache-2.0
// For the .mm files of this room: a plan as the framework's configuration, a function for each device.
#pragma once

#include "machine_plan.hpp"

@class VZVirtualMachineConfiguration, VZDirectoryShare;

namespace mvm::apple_vz {

// A configuration that the framework has found valid. Throws FrameworkFailure; to be called within attempt().
VZVirtualMachineConfiguration* configuration_of(const MachinePlan& plan);

VZDirectoryShare* share_of(const Directory& directory);
VZDirectoryShare* share_of(const std::vector<Directory>& directories);  // each by its tag as a name

}  // namespace mvm::apple_vz
