// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {

// As probe_plugin, but a file that was looked into before, by this version of the host, is not loaded again: the same
// device, inode, size and times of change are the same file. (One that changed within the last two seconds is not
// remembered: it may change again and look the same.) What was found is kept in `directory` (0700; made where it is
// missing, as is the one above; empty: nothing is kept). A process that crashed or hung is not remembered: it may have
// been the machine's fault. What info said may have changed since: who needs that asks probe_plugin.
Result<pb::PluginView> cached_probe(const std::filesystem::path& directory, const std::filesystem::path& path,
                                    const std::string& name);

}  // namespace mvm::host
