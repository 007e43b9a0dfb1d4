// SPDX-License-Identifier: Apache-2.0
#include "load.hpp"

#include <array>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "measure.hpp"

namespace mvm::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int at_a_time = 32;
// Source addresses in turn, or the ports that lie in TIME-WAIT would run out.
constexpr uint32_t source_addresses = 100;
constexpr std::string_view request = "GET / HTTP/1.0\r\n\r\n";

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

sockaddr_in loopback(uint16_t port, uint32_t last = 1) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl((127U << 24) + last);
  return address;
}

void watch(int loop, int fd, uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  ::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

void echo(int fd, char* data, size_t size) {
  if (::send(fd, data, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) give_up("echo: send");
  if (::recv(fd, data, size, MSG_WAITALL) != static_cast<ssize_t>(size)) give_up("echo: the connection ended");
}

// Begins a connection, which is told of as writable when it is there.
void begin(int loop, uint16_t port, uint32_t nth) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  const sockaddr_in from = loopback(0, 2 + nth % source_addresses);
  const sockaddr_in to = loopback(port);
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof(from)) != 0) give_up("connections: bind");
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0 && errno != EINPROGRESS) {
    give_up("connections: connect");
  }
  watch(loop, fd, EPOLLOUT);
}

}  // namespace

// Some peers reset clients that come faster than they accept: that is said, and tried again a few times.
static UniqueFd connect_tcp(uint16_t port) {
  const sockaddr_in address = loopback(port);
  for (int tries = 0; tries < 20; ++tries) {
    UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
    note("connect");
    ::poll(nullptr, 0, 20);
  }
  give_up("connect");
}

Connect to_tcp(uint16_t port) {
  return [port] {
    UniqueFd fd = connect_tcp(port);
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    const timeval limit{10, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
  };
}

Connect to_unix(const std::string& path) {
  return [path] {
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
      give_up("unix: connect");
    return fd;
  };
}

// What moved; 0: not now.
static uint64_t move_some(int loop, int fd, Way way, std::vector<char>& buffer) {
  // MSG_TRUNC: TCP throws the bytes away instead of copying them, so that it is the forwarder that is measured.
  const ssize_t n = way == Way::from_guest ? ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC)
                                           : ::send(fd, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n == 0 || (n < 0 && errno != EAGAIN)) {
    note("bulk: a connection ended too soon, and counts as idle");
    ::shutdown(fd, SHUT_RDWR);
    ::epoll_ctl(loop, EPOLL_CTL_DEL, fd, nullptr);
  }
  return n > 0 ? static_cast<uint64_t>(n) : 0;
}

Bulk bulk(const Connect& connect, Way way, int connections, std::chrono::milliseconds time) {
  const UniqueFd loop(::epoll_create1(EPOLL_CLOEXEC));
  std::vector<UniqueFd> clients;
  for (int i = 0; i < connections; ++i) {
    clients.push_back(connect());
    watch(loop.get(), clients.back().get(), way == Way::from_guest ? EPOLLIN : EPOLLOUT);
    if (::send(clients.back().get(), way == Way::from_guest ? "g" : "d", 1, MSG_NOSIGNAL) != 1) give_up("bulk: send");
  }
  std::array<epoll_event, 64> events;
  std::vector<char> buffer(256 * 1024);
  Bulk moved;
  const auto begin = Clock::now();
  while (Clock::now() - begin < time) {
    const int count = ::epoll_wait(loop.get(), events.data(), events.size(), 500);
    if (count <= 0) {
      note("bulk: nothing moves any more");
      break;
    }
    for (int i = 0; i < count; ++i)
      moved.bytes += move_some(loop.get(), events[static_cast<size_t>(i)].data.fd, way, buffer);
  }
  moved.seconds = since(begin);
  return moved;
}

double new_connections(uint16_t port, std::chrono::milliseconds time) {
  const UniqueFd loop(::epoll_create1(EPOLL_CLOEXEC));
  uint32_t begun = 0;
  int done = 0;
  for (; begun < at_a_time; ++begun) begin(loop.get(), port, begun);
  std::array<epoll_event, at_a_time> events;
  std::array<char, 4096> buffer;
  std::vector<size_t> got(65536);
  const auto start = Clock::now();
  int open = at_a_time;
  while (open > 0) {
    const int count = ::epoll_wait(loop.get(), events.data(), events.size(), 5000);
    if (count <= 0) give_up("connections: no answer comes any more");
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if ((events[static_cast<size_t>(i)].events & EPOLLOUT) != 0) {
        if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) give_up("connections: refused");
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        ::epoll_ctl(loop.get(), EPOLL_CTL_MOD, fd, &event);
        got[static_cast<size_t>(fd)] = 0;
        continue;
      }
      const ssize_t n = ::recv(fd, buffer.data(), buffer.size(), 0);
      if (n < 0) give_up("connections: an answer was cut off");
      got[static_cast<size_t>(fd)] += static_cast<size_t>(n);
      if (n > 0) continue;
      if (got[static_cast<size_t>(fd)] < 1024) give_up("connections: an answer is too short");
      ::close(fd);
      ++done;
      if (Clock::now() - start < time) {
        bench::begin(loop.get(), port, begun++);
      } else {
        --open;
      }
    }
  }
  return done / since(start);
}

std::vector<double> round_trips_us(const Connect& connect, int count) {
  const UniqueFd fd = connect();
  if (::send(fd.get(), "e", 1, MSG_NOSIGNAL) != 1) give_up("round trips: send");
  std::array<char, 64> data{};
  for (int i = 0; i < 100; ++i) echo(fd.get(), data.data(), data.size());
  std::vector<double> values;
  values.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    echo(fd.get(), data.data(), data.size());
    values.push_back(since(begin) * 1e6);
  }
  return values;
}

std::vector<UniqueFd> idle_connections(const Connect& connect, int count) {
  std::vector<UniqueFd> clients;
  for (int i = 0; i < count; ++i) {
    clients.push_back(connect());
    char hello[2] = {'e', 'x'};
    if (::send(clients.back().get(), hello, 2, MSG_NOSIGNAL) != 2) give_up("idle: send");
    if (::recv(clients.back().get(), hello, 1, MSG_WAITALL) != 1) give_up("idle: the connection ended");
  }
  return clients;
}

}  // namespace mvm::bench
