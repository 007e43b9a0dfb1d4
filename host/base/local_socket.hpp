// SPDX-License-Identifier: Apache-2.0
// Unix sockets by path.
#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

// A listening, non-blocking, close-on-exec stream socket at `path`, mode 0600 before anybody can connect. A socket that
// lies there is replaced (its owner holds no lock any more); anything else there is an error. Errors (failed) name
// path.
Result<UniqueFd> listen_local(const std::filesystem::path& path);

// Connects without waiting: a full backlog is EAGAIN. Empty and errno on failure.
UniqueFd connect_local(const std::filesystem::path& path);

}  // namespace mvm::host
