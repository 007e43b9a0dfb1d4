// SPDX-License-Identifier: Apache-2.0
// What the forwards need of the VM: connections to its vsock ports.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

// Opens a connection to a guest port and calls back once, on the event loop. keep_trying: how long to wait for a port
// that nobody listens on yet; 0: one attempt.
using GuestConnector = std::function<void(uint32_t port, std::chrono::milliseconds keep_trying,
                                          std::function<void(Result<UniqueFd>)> done)>;

}  // namespace mvm::host
