// SPDX-License-Identifier: Apache-2.0
// What a qcow2 image says of itself. One that comes from elsewhere may name any file of the host as the one below it,
// and the guest would read that.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mvm::qemu {

constexpr size_t qcow2_head_bytes = 104;

// head: the image's first bytes. Throws mvm::Error, MVM_ERR_INVALID: not qcow2, or one that names further files where
// that is not allowed.
void check_qcow2_head(const std::string& path, std::string_view head, bool further_files_allowed);

}  // namespace mvm::qemu
