// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include <cerrno>

#include <poll.h>

#include "base/hang_up.hpp"

namespace mvm::host {

void wait_hang_up(int socket) {
  pollfd hung_up{socket, 0, 0};  // POLLHUP and POLLERR are always asked for
  while (::poll(&hung_up, 1, -1) < 0 && errno == EINTR) {
  }
}

}  // namespace mvm::host
#endif
