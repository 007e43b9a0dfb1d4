// SPDX-License-Identifier: Apache-2.0
// Where QEMU is, or how to get it.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "architecture.hpp"

namespace mvm::qemu {

// The first executable of that name in `path` (as $PATH), else where distributions hide it; empty: nowhere.
std::string find_program(std::string_view name, std::string_view path);

// "apt-get install qemu-system-x86", by the package tool that exists() finds; empty: none that is known.
std::string install_command(Architecture architecture, const std::function<bool(const std::string& path)>& exists);

// QEMU's absolute path. Throws mvm::Error, MVM_ERR_UNSUPPORTED, which says how to install it.
std::string find_qemu(Architecture architecture);

}  // namespace mvm::qemu
