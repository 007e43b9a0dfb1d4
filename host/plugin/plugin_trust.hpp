// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "base/result.hpp"

namespace mvm::host {

// Whether code from this file may run in this process (docs/abi-rules.md, MVM-H8): a regular file, and it and every
// directory above it belong to root or to this user (in a process of root's: to root) and are not writable by others. A
// directory with the sticky bit may be: what is in it belongs to its owner alone. So may one of the owner's private
// group. Returns the path with links resolved; errors (failed) name the file or directory and what is wrong with it.
Result<std::filesystem::path> trusted_plugin_file(const std::filesystem::path& path);

}  // namespace mvm::host
