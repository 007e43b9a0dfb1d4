// SPDX-License-Identifier: Apache-2.0
// What makes a guest the same machine at every boot: its identifier, kept in a file, and its MAC.
#pragma once

#include <string>

namespace mvm::apple_vz {

// The VM's identifier from its file in state_dir; made and written there first when there is none. Empty before macOS
// 13, or without a directory. Throws mvm::Error: a file that cannot be read or written, or holds no identifier.
std::string machine_identifier(const std::string& state_dir, const std::string& vm_name);

// A locally administered address out of the directory and the name, for hosts that give none.
std::string derived_mac(const std::string& state_dir, const std::string& vm_name);

}  // namespace mvm::apple_vz
