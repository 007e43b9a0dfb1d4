// SPDX-License-Identifier: Apache-2.0
// A disk image as the host sees it before the hypervisor opens it.
#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::host {

// Errors (invalid): missing, a directory, empty, unreadable, not writable where `writable`.
Result<void> check_disk(const std::filesystem::path& path, bool writable);

// qcow2 for FILE.qcow2, raw for all others. Never by content: a guest that writes a qcow2 header into its raw disk
// would have any file of the host's read to it as a backing file at its next boot (CVE-2008-2004). Errors (invalid):
// the content contradicts the name.
Result<v1::DiskFormat> format_by_name(const std::filesystem::path& path);

// Holds a disk for one VM by flock on the image itself: exclusive for writers, shared for readers, so that two VMs
// never write one image and none reads what another writes. The lock ends with the fd, also when the process is killed.
// The error (failed) names the image and says that another VM uses it.
Result<UniqueFd> lock_disk(const std::filesystem::path& path, bool writable);

// Puts an empty file, mode 0600, in the place of whatever `path` was: for a hypervisor that makes an overlay of it.
// Errors (failed) name the path.
Result<void> put_empty_file(const std::filesystem::path& path);

}  // namespace mvm::host
