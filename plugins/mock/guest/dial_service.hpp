// SPDX-License-Identifier: Apache-2.0
// "DIAL <port>\n": the guest opens a connection to that port of the host and relays, or answers "ERR refused\n".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/io_context.hpp>

#include "connection.hpp"
#include "mvm/host_ports.hpp"

namespace mvm::mock {

class DialService final : public Connection {
 public:
  DialService(Connections& connections, Socket socket, boost::asio::io_context& loop, HostPorts& host_ports)
      : Connection(connections, std::move(socket)), loop_(loop), host_ports_(host_ports) {}

 private:
  void on_bytes(std::string_view bytes) override;
  void dial(uint32_t port, std::string already_read);
  void refuse(std::string_view answer);

  boost::asio::io_context& loop_;
  HostPorts& host_ports_;
  std::string line_;
};

}  // namespace mvm::mock
