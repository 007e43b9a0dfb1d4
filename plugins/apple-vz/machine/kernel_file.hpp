// SPDX-License-Identifier: Apache-2.0
// Whether a file is a kernel that the framework starts. Of one that it does not it says no more than "internal error"
// (lima#3705), so this is looked at before.
#pragma once

#include <string>
#include <string_view>

#include "architecture.hpp"

namespace mvm::apple_vz {

constexpr size_t kernel_head_bytes = 1024;

// head: the first bytes of the file. Throws mvm::Error, MVM_ERR_INVALID, whose message starts with the path and says
// what to do.
void check_kernel_head(const std::string& path, std::string_view head, Architecture host = host_architecture());

}  // namespace mvm::apple_vz
