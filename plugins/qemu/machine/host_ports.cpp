// SPDX-License-Identifier: Apache-2.0
#include "host_ports.hpp"

#include <utility>

#include "mvm/ext/guest_connect.h"

namespace mvm::qemu {

void HostPorts::listen(uint32_t port, CanGuestConnect::OnConnect on_connect) {
  const std::lock_guard lock(mutex_);
  if (on_connect) {
    handlers_[port] = std::move(on_connect);
  } else {
    handlers_.erase(port);
  }
}

bool HostPorts::offer(uint32_t port, UniqueFd& fd) {
  const std::lock_guard lock(mutex_);
  auto handler = handlers_.find(port);
  if (handler == handlers_.end()) handler = handlers_.find(MVM_GUEST_PORT_ANY);
  return handler != handlers_.end() && handler->second(port, fd);
}

}  // namespace mvm::qemu
