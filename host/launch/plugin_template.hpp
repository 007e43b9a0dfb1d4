// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

namespace mvm::host {

// Writes the project of a plugin called `name`, in `language` ("c", "cpp", "rust"), from the templates that are
// installed beside this executable (share/mvm/templates). The directory is there whole or, on failure, as it was.
// Errors: invalid for a name that is none (MVM-P14) and for a directory with something in it; failed for the rest.
Result<void> new_plugin_project(const std::string& name, const std::string& language,
                                const std::filesystem::path& directory);

}  // namespace mvm::host
