// SPDX-License-Identifier: Apache-2.0
#include "vsock.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace mvm::client {
namespace {

constexpr size_t longest_answer = 32;

#if defined(__APPLE__)
constexpr int no_signal = 0;  // SO_NOSIGPIPE says it
#else
constexpr int no_signal = MSG_NOSIGNAL;
#endif

[[noreturn]] void fail(const std::string& path, int error) {
  throw Failure(MVMC_FAILED, path + ": " + std::generic_category().message(error));
}

// False: the deadline passed.
bool wait_readable(const std::string& path, int fd, Clock::time_point deadline) {
  pollfd watched{fd, POLLIN, 0};
  for (;;) {
    const int ready = ::poll(&watched, 1, milliseconds_until(deadline));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR && errno != EAGAIN) fail(path, errno);
    if (Clock::now() >= deadline) return false;
  }
}

Fd make_socket(const std::string& path) {
#if defined(__linux__)
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0) fail(path, errno);
#else
  Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  if (fd.get() < 0) fail(path, errno);
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
#endif
#if defined(__APPLE__)
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
  return fd;
}

VsockAnswer connect_unix(const Fd& fd, const std::string& path, Clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) fail(path, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return VsockAnswer::no_socket;
    // Linux has no event for room in a listener's queue.
    if (errno != EAGAIN && errno != EINTR) fail(path, errno);
    const bool full = errno == EAGAIN;
    if (Clock::now() >= deadline) return VsockAnswer::no_answer;
    if (full) ::poll(nullptr, 0, 1);
  }
  return VsockAnswer::connected;
}

// The line without its newline, byte by byte, since what follows is the guest's.
VsockAnswer receive_line(const Fd& fd, const std::string& path, Clock::time_point deadline, std::string& line) {
  while (line.size() < longest_answer) {
    char c = 0;
    const ssize_t got = ::recv(fd.get(), &c, 1, 0);
    if (got == 1) {
      if (c == '\n') return VsockAnswer::connected;
      line += c;
    } else if (got == 0 || errno == ECONNRESET) {
      return VsockAnswer::refused;
    } else if (errno == EAGAIN) {
      if (!wait_readable(path, fd.get(), deadline)) return VsockAnswer::no_answer;
    } else if (errno != EINTR) {
      fail(path, errno);
    }
  }
  return VsockAnswer::connected;
}

}  // namespace

VsockConnection connect_vsock(const std::string& path, uint32_t port, Clock::time_point deadline) {
  Fd fd = make_socket(path);
  const VsockAnswer connected = connect_unix(fd, path, deadline);
  if (connected != VsockAnswer::connected) return {connected, Fd()};
  const std::string request = "CONNECT " + std::to_string(port) + "\n";
  // A new socket has room for a line: less than all of it means that the other end is gone.
  if (::send(fd.get(), request.data(), request.size(), no_signal) != static_cast<ssize_t>(request.size())) {
    return {VsockAnswer::refused, Fd()};
  }
  std::string line;
  const VsockAnswer answer = receive_line(fd, path, deadline, line);
  if (answer != VsockAnswer::connected) return {answer, Fd()};
  if (!line.starts_with("OK "))
    throw Failure(MVMC_FAILED, path + ": answered \"" + line + "\", not OK: is no vsock.sock");
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) & ~O_NONBLOCK);
  return {VsockAnswer::connected, std::move(fd)};
}

}  // namespace mvm::client
