// SPDX-License-Identifier: Apache-2.0
#include "call_host.hpp"

#include <utility>

#include "socket_pair.hpp"

namespace mvm::mock {

UniqueFd call_host(HostPorts& ports, uint32_t port) {
  SocketPair pair = make_socket_pair();
  return ports.offer(port, pair.host) ? std::move(pair.guest) : UniqueFd();
}

}  // namespace mvm::mock
