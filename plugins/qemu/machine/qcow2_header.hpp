// SPDX-License-Identifier: Apache-2.0
// What a qcow2 image says of itself, and what a new one says. One that comes from elsewhere may name any file of the
// host as the one below it, and the guest would read that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mvm::qemu {

constexpr size_t qcow2_head_bytes = 104;

// The size of the disk in the image with this head.
uint64_t qcow2_disk_bytes(std::string_view head);

// A whole image that holds nothing yet, in which all is read from `base`: for a disk of disk_bytes. Made here and not
// by qemu-img, which comes in a package of its own and takes longer than the rest of a boot's start. Throws mvm::Error,
// MVM_ERR_INVALID: base's path, or the disk, is longer than the format allows.
std::string empty_qcow2(uint64_t disk_bytes, const std::string& base, bool base_is_qcow2);

// head: the image's first bytes. Throws mvm::Error, MVM_ERR_INVALID: not qcow2, or one that names further files where
// that is not allowed.
void check_qcow2_head(const std::string& path, std::string_view head, bool further_files_allowed);

}  // namespace mvm::qemu
