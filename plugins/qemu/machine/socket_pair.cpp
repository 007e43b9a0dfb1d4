// SPDX-License-Identifier: Apache-2.0
#include "socket_pair.hpp"

#include <cerrno>
#include <cstring>
#include <string>

#include <sys/socket.h>

namespace mvm::qemu {

SocketPair make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    throw Error(MVM_ERR_INTERNAL, std::string("qemu: no socket pair for it: ") + std::strerror(errno));
  }
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace mvm::qemu
