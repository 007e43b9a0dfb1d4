// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace mvm::host {

// Blocks until the connection is over both ways: the peer has closed it, or both sides have ended their direction.
void wait_hang_up(int socket);

}  // namespace mvm::host
