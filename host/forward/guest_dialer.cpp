// SPDX-License-Identifier: Apache-2.0
#include "forward/guest_dialer.hpp"

#include <string>
#include <utility>

#include <boost/asio/post.hpp>

#include "base/local_socket.hpp"
#include "forward/relay.hpp"

namespace mvm::host {

bool dial_from_guest(boost::asio::io_context& loop, const std::filesystem::path& vsock_socket, uint32_t port,
                     UniqueFd& fd) {
  UniqueFd peer = connect_local(vsock_socket.native() + "_" + std::to_string(port));
  if (!fd || !peer) return false;
  boost::asio::post(loop, [&loop, guest = std::move(fd), host = std::move(peer)]() mutable {
    start_relay(loop, std::move(guest), std::move(host), {}, [](RelayTotals) {});
  });
  return true;
}

}  // namespace mvm::host
