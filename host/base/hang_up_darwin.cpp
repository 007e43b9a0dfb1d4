// SPDX-License-Identifier: Apache-2.0
#if defined(__APPLE__)
#include <sys/event.h>

#include "base/hang_up.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

// Not poll: XNU tells a poll for nothing nothing at all. EV_EOF of the write filter: the peer reads no more.
void wait_hang_up(int socket) {
  const UniqueFd queue(::kqueue());
  struct kevent change {};
  EV_SET(&change, socket, EVFILT_WRITE, EV_ADD | EV_CLEAR, 0, 0, nullptr);
  if (!queue || ::kevent(queue.get(), &change, 1, nullptr, 0, nullptr) != 0) return;
  struct kevent event {};
  while (::kevent(queue.get(), nullptr, 0, &event, 1, nullptr) == 1) {
    if ((event.flags & EV_EOF) != 0) return;
  }
}

}  // namespace mvm::host
#endif
