// SPDX-License-Identifier: Apache-2.0
#include "cli/published_port.hpp"

#include <filesystem>

namespace mvm::host {

pb::PublishedPort published_port(const PortPair& typed) {
  pb::PublishedPort port;
  port.set_address(typed.address);
  if (typed.address.starts_with(unix_prefix)) {
    const std::filesystem::path path = typed.address.substr(unix_prefix.size());
    port.set_address(std::string(unix_prefix) + std::filesystem::absolute(path).lexically_normal().string());
  }
  port.set_host_port(typed.host_port);
  port.set_guest_port(typed.guest_port);
  return port;
}

}  // namespace mvm::host
