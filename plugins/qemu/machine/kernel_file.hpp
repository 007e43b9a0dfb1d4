// SPDX-License-Identifier: Apache-2.0
// Whether a file is a kernel that this QEMU can start: QEMU itself starts some others, which then never say a word.
#pragma once

#include <string>
#include <string_view>

#include "architecture.hpp"

namespace mvm::qemu {

constexpr size_t kernel_head_bytes = 1024;

// head: the first bytes of the file. Throws mvm::Error, MVM_ERR_INVALID, whose message starts with the path.
void check_kernel_head(const std::string& path, std::string_view head, Architecture host);

}  // namespace mvm::qemu
