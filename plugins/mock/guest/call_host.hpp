// SPDX-License-Identifier: Apache-2.0
// The guest's way to the host.
#pragma once

#include <cstdint>

#include "mvm/host_ports.hpp"

namespace mvm::mock {

// [any] The guest's end of a connection to a port of the host's; empty when nobody takes it. Throws mvm::Error when out
// of files.
UniqueFd call_host(HostPorts& ports, uint32_t port);

}  // namespace mvm::mock
