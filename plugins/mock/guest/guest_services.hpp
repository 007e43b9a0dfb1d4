// SPDX-License-Identifier: Apache-2.0
// Which port of the guest is served by what.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "connection.hpp"
#include "mvm/host_ports.hpp"
#include "shares.hpp"

namespace mvm::mock {

class GuestServices {
 public:
  // All of them outlive the connections.
  GuestServices(boost::asio::io_context& loop, Connections& connections, const Shares& shares, HostPorts& host_ports,
                const std::string& guest_name);

  void serve_echo(uint32_t port);
  void serve_slow_echo(uint32_t port, uint64_t bytes_per_s);

  bool serves(uint32_t port) const { return by_port_.contains(port); }
  // The host's end of a new connection to a port that is served. Throws mvm::Error.
  UniqueFd connect(uint32_t port);

 private:
  using Make = std::function<std::shared_ptr<Connection>(Socket socket)>;

  boost::asio::io_context& loop_;
  Connections& connections_;
  std::map<uint32_t, Make> by_port_;
};

}  // namespace mvm::mock
