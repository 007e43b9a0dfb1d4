// SPDX-License-Identifier: Apache-2.0
// vsock.sock: a Unix socket that leads to any guest port, in the convention of Firecracker's host side
// (firecracker/docs/vsock.md): the client writes "CONNECT <port>\n", reads "OK <n>\n", then raw bytes. On failure the
// connection is closed without an answer.
#pragma once

#include <filesystem>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "forward/guest_connector.hpp"

namespace mvm::host {

class VsockSocket {
 public:
  // Binds `path` (mode 0600; a socket left there is replaced, anything else is refused).
  static Result<std::unique_ptr<VsockSocket>> bind(boost::asio::io_context& loop, const std::filesystem::path& path);
  virtual ~VsockSocket() = default;  // closes the listener and removes the file
  // From now on clients are served. A client that says nothing for 10 s, or anything but CONNECT, is closed. Peers of
  // another user (but root) are refused.
  virtual void start(GuestConnector connect) = 0;
};

}  // namespace mvm::host
