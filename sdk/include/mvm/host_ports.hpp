// SPDX-License-Identifier: Apache-2.0
// For authors of hypervisors whose guests connect to the host (mvm/ext/guest_connect.h): who on the host takes those
// connections. Header-only; knows the standard library.
#ifndef MVM_HOST_PORTS_HPP
#define MVM_HOST_PORTS_HPP

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "ext/guest_connect.h"
#include "hypervisor.hpp"

namespace mvm {

class HostPorts {
 public:
  // [any] As CanGuestConnect::guest_listen: an empty function takes the port away, and when this returns, its old one
  // no longer runs.
  void listen(uint32_t port, CanGuestConnect::OnConnect on_connect) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (on_connect) {
      handlers_[port] = std::move(on_connect);
    } else {
      handlers_.erase(port);
    }
  }

  // [any] Offers a connection to whoever listens there, else to who listens everywhere. False: nobody took it, and fd
  // is still the caller's.
  bool offer(uint32_t port, UniqueFd& fd) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto handler = handlers_.find(port);
    if (handler == handlers_.end()) handler = handlers_.find(MVM_GUEST_PORT_ANY);
    return handler != handlers_.end() && handler->second(port, fd);
  }

  // [any] Where somebody listens.
  std::vector<uint32_t> ports() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<uint32_t> all;
    for (const auto& entry : handlers_) all.push_back(entry.first);
    return all;
  }

 private:
  mutable std::mutex mutex_;  // held while a handler runs: handlers are prompt, and listen has to outlast them
  std::map<uint32_t, CanGuestConnect::OnConnect> handlers_;
};

}  // namespace mvm

#endif  // MVM_HOST_PORTS_HPP
