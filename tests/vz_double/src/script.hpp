// SPDX-License-Identifier: Apache-2.0
// The simulated guest's script as its kernel's parameters: simulated.KEY=VALUE, or simulated.KEY="VALUE WITH BLANKS".
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace mvm::vz_double {

std::map<std::string, std::string> script_in(std::string_view cmdline);

}  // namespace mvm::vz_double
