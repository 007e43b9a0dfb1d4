// SPDX-License-Identifier: Apache-2.0
#include "forward/sockets.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

namespace mvm::host {

#if !defined(__linux__)
static UniqueFd prepared(int fd) {
  if (fd < 0) return UniqueFd();
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  prepare_socket(fd);
  return UniqueFd(fd);
}
#endif

UniqueFd open_stream_socket(int family) {
#if defined(__linux__)
  return UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
#else
  return prepared(::socket(family, SOCK_STREAM, 0));
#endif
}

UniqueFd accept_client(int listening) {
#if defined(__linux__)
  return UniqueFd(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
#else
  return prepared(::accept(listening, nullptr, nullptr));
#endif
}

void prepare_socket(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
#if defined(SO_NOSIGPIPE)
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on));
#endif
}

ssize_t send_some(int fd, const void* data, size_t size) {
#if defined(MSG_NOSIGNAL)
  return ::send(fd, data, size, MSG_NOSIGNAL);
#else
  return ::send(fd, data, size, 0);
#endif
}

bool is_tcp(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  return address.ss_family == AF_INET || address.ss_family == AF_INET6;
}

void set_no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void reset_on_close(int fd) {
  const linger at_once{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

}  // namespace mvm::host
