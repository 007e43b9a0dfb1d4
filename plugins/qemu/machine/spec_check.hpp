// SPDX-License-Identifier: Apache-2.0
// Whether a VmSpec can be booted here, before QEMU is started: its own words name no field of a spec.
#pragma once

#include <cstdint>
#include <vector>

#include "architecture.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::qemu {

// What a guest may have at most: the host's memory.
uint64_t max_memory_bytes();

// Throws mvm::Error with the first thing that is wrong; options are checked where they are parsed. Opens files, waits
// for nothing.
void check_spec(const v1::VmSpec& spec, bool backing_files, Architecture host = host_architecture());

// Throws mvm::Error. What a share's directory is, is found when it is opened.
void check_share_tag(const std::string& tag);

// Which disks are devices of the host's.
std::vector<bool> block_devices(const v1::VmSpec& spec);

}  // namespace mvm::qemu
