// SPDX-License-Identifier: Apache-2.0
// Looks into a plugin in a child process: a constructor of its that crashes or hangs costs the child only.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "plugin/plugin_finder.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {

inline constexpr std::chrono::milliseconds probe_limit{5000};

// name: what the plugin must call itself. Errors (failed) name the file and what it did: a rule, a signal, the
// deadline.
Result<pb::PluginView> probe_plugin(const std::filesystem::path& path, const std::string& name);

// What is told of a plugin that was not looked into, or in vain: why not.
pb::PluginView passed_over(const PluginCandidate& candidate, const std::string& reason);

// The child's part: loads, negotiates, makes an instance, asks; sends what it found to launch_fd. Returns the exit
// code.
int answer_probe(const std::filesystem::path& path, const std::string& name);

}  // namespace mvm::host
