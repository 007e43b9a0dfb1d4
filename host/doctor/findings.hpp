// SPDX-License-Identifier: Apache-2.0
// What stands in the way of booting here, each with what mends it. Nothing is changed by looking.
#pragma once

#include <string>
#include <vector>

#include "store/vm_store.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {

using Findings = std::vector<pb::Finding>;

enum class Verdict { ok, warning, problem };

// message: what was found, and unless it is well, what to do.
pb::Finding finding(Verdict verdict, std::string subject, std::string message);

// The system and this executable: whether a hypervisor may run in it at all.
Findings check_system();

// Where VMs are kept, and their sockets.
Findings check_directories(const VmStore& store);

// Every plugin that is found, each loaded in a child of its own; `chosen` is the hypervisor that has to be among them.
// An empty name asks for none.
Findings check_plugins(const std::string& chosen);

// A plugin by its file.
Findings check_plugin_file(const std::string& path);

}  // namespace mvm::host
