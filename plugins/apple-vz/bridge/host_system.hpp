// SPDX-License-Identifier: Apache-2.0
// What this Mac, its macOS and this process can do. [any]
#pragma once

#include <cstdint>
#include <string>

namespace mvm::apple_vz {

struct Limits {
  uint32_t min_cpus = 1;
  uint32_t max_cpus = 1;
  uint64_t min_memory_bytes = 0;
  uint64_t max_memory_bytes = 0;
};

// What the framework allows a virtual machine.
Limits framework_limits();

// VZVirtualMachine.isSupported: false in most virtual machines, and on a processor without virtualization.
bool virtualization_is_supported();

enum class Availability { too_old, not_supported, not_installed, available };

// Rosetta for Linux guests: macOS 13 on Apple silicon, and an installation.
Availability rosetta_availability();
// Nested virtualization: macOS 15, an M3 or later.
Availability nested_availability();

// For VZGenericPlatformConfiguration.machineIdentifier: its data representation; empty before macOS 13.
std::string new_machine_identifier();
bool is_machine_identifier(const std::string& data);

// Whether a directory may be shared under that name beside others; else says why not.
bool is_share_name(const std::string& name, std::string& why_not);

}  // namespace mvm::apple_vz
