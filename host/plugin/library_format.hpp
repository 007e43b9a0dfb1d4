// SPDX-License-Identifier: Apache-2.0
// What a file says it is, read without running any of it: a library's constructors run as it is loaded.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace mvm::host {

// Whether the file is a shared library for this machine. Errors (failed) say what it is instead: empty, of another
// machine, no library (MVM-P16).
Result<void> check_library_format(const std::filesystem::path& path);

// The symbols that an ELF library of this machine's word size defines for others; empty: it is none, or damaged.
std::optional<std::vector<std::string>> exported_symbols(const std::filesystem::path& path);

}  // namespace mvm::host
