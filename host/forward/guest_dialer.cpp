// SPDX-License-Identifier: Apache-2.0
#include "forward/guest_dialer.hpp"

#include <string>
#include <utility>

#include <boost/asio/post.hpp>

#include "base/descriptors.hpp"
#include "base/local_socket.hpp"
#include "base/log.hpp"
#include "forward/relay.hpp"

namespace mvm::host {

bool dial_from_guest(boost::asio::io_context& loop, const std::filesystem::path& vsock_socket, uint32_t port,
                     UniqueFd& fd, const std::shared_ptr<LogPace>& shortage_pace) {
  if (!fd) return false;
  if (!leaves_descriptors_beside(fd.get(), 0, kept_from_guests)) {
    boost::asio::post(loop, [port, shortage_pace] {
      if (!shortage_pace->pass()) return;
      log::warn(
          "guest: its connections to host port {} are refused: the last descriptors are not for guests (see ulimit -n)",
          port);
    });
    return false;
  }
  UniqueFd peer = connect_local(vsock_socket.native() + "_" + std::to_string(port));
  if (!peer) return false;
  boost::asio::post(loop, [&loop, guest = std::move(fd), host = std::move(peer)]() mutable {
    start_relay(loop, std::move(guest), std::move(host), {}, [](RelayTotals) {});
  });
  return true;
}

}  // namespace mvm::host
