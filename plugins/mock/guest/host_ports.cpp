// SPDX-License-Identifier: Apache-2.0
#include "host_ports.hpp"

#include <utility>

#include "mvm/ext/guest_connect.h"
#include "socket_pair.hpp"

namespace mvm::mock {

void HostPorts::listen(uint32_t port, CanGuestConnect::OnConnect on_connect) {
  const std::lock_guard lock(mutex_);
  if (on_connect) {
    handlers_[port] = std::move(on_connect);
  } else {
    handlers_.erase(port);
  }
}

UniqueFd HostPorts::connect(uint32_t port) {
  const std::lock_guard lock(mutex_);
  auto handler = handlers_.find(port);
  if (handler == handlers_.end()) handler = handlers_.find(MVM_GUEST_PORT_ANY);
  if (handler == handlers_.end()) return {};
  SocketPair pair = make_socket_pair();
  return handler->second(port, pair.host) ? std::move(pair.guest) : UniqueFd();
}

}  // namespace mvm::mock
