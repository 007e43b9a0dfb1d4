// SPDX-License-Identifier: Apache-2.0
#include "socket_pair.hpp"

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>

namespace mvm::mock {
namespace {

[[noreturn]] void throw_errno(const char* what) {
  const int error = errno;
  throw Error(MVM_ERR_INTERNAL, std::string("vsock: ") + what + ": " + std::strerror(error));
}

#if defined(SOCK_CLOEXEC)
constexpr int pair_type = SOCK_STREAM | SOCK_CLOEXEC;
#else
constexpr int pair_type = SOCK_STREAM;
#endif

void prepare(int fd) {
#if !defined(SOCK_CLOEXEC)
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) throw_errno("fcntl");
#endif
#if defined(SO_NOSIGPIPE)
  const int on = 1;
  if (::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on) != 0) throw_errno("setsockopt");
#endif
  (void)fd;
}

}  // namespace

SocketPair make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, pair_type, 0, fds) != 0) throw_errno("socketpair");
  SocketPair pair{UniqueFd(fds[0]), UniqueFd(fds[1])};
  prepare(fds[0]);
  prepare(fds[1]);
  return pair;
}

Socket adopt(boost::asio::io_context& loop, UniqueFd fd) {
  Socket socket(loop);
  boost::system::error_code failed;
  socket.assign(boost::asio::local::stream_protocol(), fd.get(), failed);
  if (failed) throw Error(MVM_ERR_INTERNAL, "vsock: cannot watch a connection: " + failed.message());
  fd.release();
  socket.native_non_blocking(true, failed);
  if (failed) throw Error(MVM_ERR_INTERNAL, "vsock: cannot watch a connection: " + failed.message());
  return socket;
}

ssize_t send_some(int fd, const char* data, size_t size) noexcept {
#if defined(MSG_NOSIGNAL)
  return ::send(fd, data, size, MSG_NOSIGNAL);
#else
  return ::send(fd, data, size, 0);
#endif
}

}  // namespace mvm::mock
