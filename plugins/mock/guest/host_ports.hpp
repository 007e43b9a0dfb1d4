// SPDX-License-Identifier: Apache-2.0
// Who on the host takes the guest's connections: guest_listen's table.
#pragma once

#include <map>
#include <mutex>

#include "mvm/hypervisor.hpp"

namespace mvm::mock {

class HostPorts {
 public:
  // [any] An empty function takes the port away; when this returns, its old one no longer runs.
  void listen(uint32_t port, CanGuestConnect::OnConnect on_connect);

  // The guest's end of a connection to a host port; empty when nobody takes it. Throws mvm::Error when out of files.
  UniqueFd connect(uint32_t port);

 private:
  std::mutex mutex_;  // held while a handler runs: handlers are prompt, and listen has to outlast them
  std::map<uint32_t, CanGuestConnect::OnConnect> handlers_;
};

}  // namespace mvm::mock
