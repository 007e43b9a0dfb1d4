// SPDX-License-Identifier: Apache-2.0
// Copies that share the original's blocks: what disk_copy.cpp tries first. One source a system (disk_clone_*.cpp).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>

#include "mvm/hypervisor.hpp"

namespace mvm::host {

// Makes `to`, which must not exist, a clone of `from`: mode 0600, open for reading and writing. Empty, and no file
// left, where the file system cannot.
UniqueFd clone_file(int from, const std::filesystem::path& to);

// Moves bytes between files within the kernel, both at `offset`. What read would return; -1 and ENOSYS where the system
// has no such call.
ssize_t copy_in_kernel(int from, int to, off_t offset, size_t size);

}  // namespace mvm::host
