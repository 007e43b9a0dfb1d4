// SPDX-License-Identifier: Apache-2.0
// Guest to host: a guest that connects to host port P reaches the Unix socket "<vsock.sock>_P", if one listens there
// (firecracker/docs/vsock.md, the same convention).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "base/log_pace.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

// Connects to the socket for `port` and, where that works, relays between it and fd on the loop and returns true; fd is
// then taken. Otherwise returns false and leaves fd alone. Any thread; doesn't wait.
// A guest connects as often as it likes: the last descriptors are kept for those who want to reach or stop it, and it
// is refused; shortage_pace, used on the loop, paces the warning of that.
bool dial_from_guest(boost::asio::io_context& loop, const std::filesystem::path& vsock_socket, uint32_t port,
                     UniqueFd& fd, const std::shared_ptr<LogPace>& shortage_pace);

}  // namespace mvm::host
