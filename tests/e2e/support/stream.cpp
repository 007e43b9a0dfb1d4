// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/stream.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace mvm::test {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

[[noreturn]] void give_up(const std::string& what) { throw std::runtime_error(what); }

int wait_for(int fd, short events, milliseconds limit) {
  const auto end = Clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
    pollfd ready{fd, events, 0};
    const int n = ::poll(&ready, 1, left > 0 ? static_cast<int>(left) : 0);
    if (n >= 0 || errno != EINTR) return n > 0 ? ready.revents : 0;
  }
}

Fd stream_socket(int family) {
  Fd fd(::socket(family, SOCK_STREAM, 0));
  if (!fd) give_up("socket: " + std::string(std::strerror(errno)));
  ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
  return fd;
}

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

sockaddr_un local(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) give_up(path.string() + ": too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  return address;
}

template <class Address>
Fd connected(int family, const Address& address) {
  Fd fd = stream_socket(family);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return Fd();
  return fd;
}

template <class Address>
Fd listening(int family, const Address& address) {
  Fd fd = stream_socket(family);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd.get(), 128) != 0) {
    give_up("listen: " + std::string(std::strerror(errno)));
  }
  return fd;
}

// Appends what there is; false: the end.
bool receive_some(const Fd& fd, std::string& into, size_t most) {
  if (wait_for(fd.get(), POLLIN, stream_deadline) == 0) give_up("nothing came in time");
  std::string buffer(most, '\0');
  const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
  if (n < 0 && errno != ECONNRESET) give_up("recv: " + std::string(std::strerror(errno)));
  if (n <= 0) return false;
  into.append(buffer, 0, static_cast<size_t>(n));
  return true;
}

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool readable(int fd, milliseconds limit) { return wait_for(fd, POLLIN, limit) != 0; }

Fd connect_tcp(uint16_t port) { return connected(AF_INET, loopback(port)); }
Fd connect_unix(const std::filesystem::path& path) { return connected(AF_UNIX, local(path)); }
Fd listen_tcp(uint16_t port) { return listening(AF_INET, loopback(port)); }
Fd listen_unix(const std::filesystem::path& path) { return listening(AF_UNIX, local(path)); }

Fd accept_one(const Fd& listener) {
  if (!readable(listener.get(), stream_deadline)) give_up("nobody connected in time");
  return Fd(::accept(listener.get(), nullptr, nullptr));
}

uint16_t port_of(const Fd& socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) give_up("getsockname");
  return ntohs(address.sin_port);
}

uint16_t free_port() { return port_of(listen_tcp(0)); }

void send_all(const Fd& fd, std::string_view bytes) {
  while (!bytes.empty()) {
    if (wait_for(fd.get(), POLLOUT, stream_deadline) == 0) give_up("the peer takes no more");
    const ssize_t n = ::send(fd.get(), bytes.data(), std::min<size_t>(bytes.size(), 65536), MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) give_up("send: " + std::string(std::strerror(errno)));
    if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void end_sending(const Fd& fd) { ::shutdown(fd.get(), SHUT_WR); }

std::string receive(const Fd& fd, size_t size) {
  std::string bytes;
  while (bytes.size() < size) {
    if (!receive_some(fd, bytes, size - bytes.size())) give_up("the stream ended early, after \"" + bytes + "\"");
  }
  return bytes;
}

std::string receive_line(const Fd& fd) {
  std::string line;
  while (receive_some(fd, line, 1)) {
    if (line.back() != '\n') continue;
    line.pop_back();
    break;
  }
  return line;
}

std::string receive_to_end(const Fd& fd) {
  std::string bytes;
  while (receive_some(fd, bytes, 65536)) {
  }
  return bytes;
}

std::string send_and_receive(const Fd& fd, std::string_view bytes) {
  std::string back;
  bool sending = true;
  for (;;) {
    if (sending && bytes.empty()) {
      end_sending(fd);
      sending = false;
    }
    const int ready = wait_for(fd.get(), static_cast<short>(sending ? POLLIN | POLLOUT : POLLIN), stream_deadline);
    if (ready == 0) give_up("neither sent nor received in time");
    if ((ready & POLLOUT) != 0) {
      const ssize_t n = ::send(fd.get(), bytes.data(), std::min<size_t>(bytes.size(), 65536), MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN) give_up("send: " + std::string(std::strerror(errno)));
      if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
    }
    if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0 && !receive_some(fd, back, 65536)) return back;
  }
}

std::string some_bytes(size_t size, unsigned seed) {
  std::string bytes(size, '\0');
  uint32_t x = seed * 2654435761U + 1;
  for (char& c : bytes) {
    x = x * 1664525U + 1013904223U;
    c = static_cast<char>(x >> 24);
  }
  return bytes;
}

}  // namespace mvm::test
