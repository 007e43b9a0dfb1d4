// SPDX-License-Identifier: Apache-2.0
// Published ports: a TCP port of the host, or a Unix socket, that leads to a vsock port of the guest.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "forward/guest_connector.hpp"

namespace mvm::host {

// Guests serve TCP port N at vsock port 10000 + N (a convention of mvm's guest agent).
inline constexpr uint32_t guest_forward_base = 10000;

// One published port. From construction by `bind` the port is ours and connections queue in the kernel; from `start`
// they are taken. Destruction closes the listener; connections that run go on until they end or the loop does.
class PortForwarder {
 public:
  struct Traffic {
    uint64_t open = 0;
    uint64_t connections = 0;  // those that were refused included
    uint64_t refused = 0;
    uint64_t bytes_to_guest = 0;
    uint64_t bytes_from_guest = 0;
  };

  // address: numeric IPv4 or IPv6, and host_port 1-65535; or "unix:PATH" (absolute), whose file is its owner's only,
  // replaces a socket that nobody serves any more, and goes with the forwarder. The error names address and port and
  // says who may be in the way or that privileges are missing.
  static Result<std::unique_ptr<PortForwarder>> bind(boost::asio::io_context& loop, const std::string& address,
                                                     uint16_t host_port, uint16_t guest_port);
  virtual ~PortForwarder() = default;

  // Each client gets its own guest connection; a guest port that isn't served closes the client at once and is logged,
  // the first at once, of more within a second their number.
  // When accept fails for want of descriptors or memory it backs off by a timer and recovers.
  virtual void start(GuestConnector connect) = 0;

  virtual Traffic traffic() const = 0;
};

}  // namespace mvm::host
