// SPDX-License-Identifier: Apache-2.0
// How the simulated vsock is made: two connected ends.
#pragma once

#include <boost/asio/local/stream_protocol.hpp>

#include "mvm/hypervisor.hpp"

namespace mvm::mock {

using Socket = boost::asio::local::stream_protocol::socket;

struct SocketPair {
  UniqueFd guest;
  UniqueFd host;
};

// Both ends close-on-exec (MVM-P5). Throws mvm::Error.
SocketPair make_socket_pair();

// Our end of a connection for the loop: non-blocking, no SIGPIPE. Takes the fd in any case. Throws mvm::Error.
Socket adopt(boost::asio::io_context& loop, UniqueFd fd);

// send(2) without SIGPIPE.
ssize_t send_some(int fd, const char* data, size_t size) noexcept;

}  // namespace mvm::mock
