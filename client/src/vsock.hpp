// SPDX-License-Identifier: Apache-2.0
// The client's side of vsock.sock (docs/state.md): CONNECT, OK, and from there on a stream.
#pragma once

#include <string>

#include "fd.hpp"

namespace mvm::client {

enum class VsockAnswer { connected, no_socket, refused, no_answer };

struct VsockConnection {
  VsockAnswer answer;
  Fd stream;  // blocking, close-on-exec, where connected
};

// One attempt. no_socket: nobody serves that path. refused: it was closed without an answer: nobody listens on the
// port, or the VM is ending. Throws Failure: MVMC_DEADLINE, or MVMC_FAILED where the system refuses.
VsockConnection connect_vsock(const std::string& path, uint32_t port, Clock::time_point deadline);

}  // namespace mvm::client
