// SPDX-License-Identifier: Apache-2.0
// A disk image as the host sees it before the hypervisor opens it.
#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::host {

// Raw or qcow2, by the first bytes. Errors (invalid): missing, a directory, empty, unreadable, not writable where
// `writable`.
Result<v1::DiskFormat> check_disk(const std::filesystem::path& path, bool writable);

// Holds a disk for one VM by flock on the image itself: exclusive for writers, shared for readers, so that two VMs
// never write one image and none reads what another writes. The lock ends with the fd, also when the process is killed.
// The error (failed) names the image and says that another VM uses it.
Result<UniqueFd> lock_disk(const std::filesystem::path& path, bool writable);

}  // namespace mvm::host
