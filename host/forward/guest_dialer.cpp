// SPDX-License-Identifier: Apache-2.0
#include "forward/guest_dialer.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/resource.h>

#include <boost/asio/post.hpp>

#include "base/local_socket.hpp"
#include "base/log.hpp"
#include "forward/relay.hpp"

namespace mvm::host {

namespace {

bool has_room_for_guests(int any_fd) {
  constexpr rlim_t most_kept = 256;
  // A new descriptor is the lowest that was free, so that it tells how many are taken.
  const UniqueFd lowest(::fcntl(any_fd, F_DUPFD_CLOEXEC, 0));
  rlimit limit{};
  if (!lowest || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  return static_cast<rlim_t>(lowest.get()) + std::min(most_kept, limit.rlim_cur / 4) < limit.rlim_cur;
}

}  // namespace

bool dial_from_guest(boost::asio::io_context& loop, const std::filesystem::path& vsock_socket, uint32_t port,
                     UniqueFd& fd, const std::shared_ptr<LogPace>& shortage_pace) {
  if (!fd) return false;
  if (!has_room_for_guests(fd.get())) {
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
