// SPDX-License-Identifier: Apache-2.0
// Whether a VmSpec can be booted here, before the framework is asked: its own words name no field of a spec.
#pragma once

#include <string>

#include "architecture.hpp"
#include "bridge/host_system.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::apple_vz {

// The tag of the device whose directories come and go while the guest runs, and of Rosetta's. Not to be had for others.
inline constexpr const char* live_tag = "mvm";
inline constexpr const char* rosetta_tag = "rosetta";

// Throws mvm::Error with the first thing that is wrong; options are checked where they are parsed. Opens files, waits
// for nothing.
void check_spec(const v1::VmSpec& spec, const Limits& limits, Architecture host = host_architecture());

// A share at boot, or while the VM runs; then its tag is a file's name, too. Throws mvm::Error.
void check_share(const v1::Share& share);

}  // namespace mvm::apple_vz
