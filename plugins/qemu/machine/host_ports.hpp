// SPDX-License-Identifier: Apache-2.0
// Who on the host takes the guests' connections: guest_listen's table.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

class HostPorts {
 public:
  // [any] An empty function takes the port away; when this returns, its old one no longer runs.
  void listen(uint32_t port, CanGuestConnect::OnConnect on_connect);

  // [any] Offers a connection to whoever listens there, else to who listens everywhere. False: nobody took it.
  bool offer(uint32_t port, UniqueFd& fd);

 private:
  std::mutex mutex_;  // held while a handler runs: handlers are prompt, and listen has to outlast them
  std::map<uint32_t, CanGuestConnect::OnConnect> handlers_;
};

}  // namespace mvm::qemu
