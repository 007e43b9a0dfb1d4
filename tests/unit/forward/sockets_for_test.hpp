// SPDX-License-Identifier: Apache-2.0
// Real sockets for the tests of forwards: the loop in a thread of its own, the test at the other ends, blocking, with a
// deadline on everything.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"
#include "support/catch.hpp"

namespace mvm::test {

inline constexpr std::chrono::seconds deadline{20};

// For any thread: Catch's own macros are for the test's thread only.
inline void must(bool good, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (!good) throw std::runtime_error(mvm::host::formatted("{}:{} failed, errno {}", file, line, errno));
}

class LoopThread {
 public:
  LoopThread() : work_(loop_.get_executor()), thread_([this] { loop_.run(); }) {}
  ~LoopThread() {
    loop_.stop();
    thread_.join();
  }

  boost::asio::io_context& loop() { return loop_; }

  // Runs it on the loop and waits for its end.
  template <class Fn>
  auto run(Fn fn) {
    using Value = decltype(fn());
    std::packaged_task<Value()> task(std::move(fn));
    auto done = task.get_future();
    boost::asio::post(loop_, std::move(task));
    must(done.wait_for(deadline) == std::future_status::ready);
    return done.get();
  }

 private:
  boost::asio::io_context loop_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::thread thread_;
};

// Something that happens once or often, on another thread.
template <class T>
class Happening {
 public:
  void happen(T value) {
    const std::lock_guard lock(mutex_);
    value_ = std::move(value);
    ++count_;
    changed_.notify_all();
  }
  T wait(int times = 1) {
    std::unique_lock lock(mutex_);
    must(changed_.wait_for(lock, deadline, [&] { return count_ >= times; }));
    return value_;
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  T value_{};
  int count_ = 0;
};

inline void set_deadline(int fd, std::chrono::milliseconds time = deadline) {
  timeval t{};
  t.tv_sec = static_cast<decltype(t.tv_sec)>(time.count() / 1000);
  t.tv_usec = static_cast<decltype(t.tv_usec)>(time.count() % 1000 * 1000);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

struct SocketPair {
  UniqueFd near;
  UniqueFd far;
};

inline SocketPair unix_pair() {
  int fds[2] = {-1, -1};
  must(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
  set_deadline(fds[0]);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

inline sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

inline uint16_t port_of(int fd) {
  sockaddr_in address{};
  socklen_t size = sizeof(address);
  must(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

inline UniqueFd tcp_listener(uint16_t port = 0) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in address = loopback(port);
  must(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  must(::listen(fd.get(), 128) == 0);
  set_deadline(fd.get());
  return fd;
}

inline UniqueFd tcp_connect(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
  set_deadline(fd.get());
  const sockaddr_in address = loopback(port);
  must(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

inline SocketPair tcp_pair() {
  const UniqueFd listener = tcp_listener();
  SocketPair pair;
  pair.near = tcp_connect(port_of(listener.get()));
  pair.far = UniqueFd(::accept(listener.get(), nullptr, nullptr));
  must(pair.far.get() >= 0);
  return pair;
}

// -1: refused or not there.
inline UniqueFd unix_connect(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  set_deadline(fd.get());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return UniqueFd();
  return fd;
}

inline UniqueFd unix_listener(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  must(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
  must(::listen(fd.get(), 16) == 0);
  set_deadline(fd.get());
  return fd;
}

inline void send_all(int fd, const std::string& bytes) {
  for (size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(fd, bytes.data() + sent, bytes.size() - sent, 0);
    must(n > 0);
    sent += static_cast<size_t>(n);
  }
}

inline std::string receive(int fd, size_t size) {
  std::string bytes(size, '\0');
  for (size_t got = 0; got < size;) {
    const ssize_t n = ::recv(fd, bytes.data() + got, size - got, 0);
    must(n > 0);
    got += static_cast<size_t>(n);
  }
  return bytes;
}

// Until the other end says that there is no more.
inline std::string receive_to_end(int fd) {
  std::string bytes;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::recv(fd, buffer, sizeof(buffer), 0);
    must(n >= 0);
    if (n == 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(n));
  }
}

// 0: an end; else errno, ECONNRESET for a reset. Skips bytes.
inline int how_it_ends(int fd) {
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::recv(fd, buffer, sizeof(buffer), 0);
    if (n <= 0) return n == 0 ? 0 : errno;
  }
}

// Different at every place, so that a swap of blocks is seen.
inline std::string pattern(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  uint32_t x = seed * 2654435761U + 1;
  for (char& c : bytes) {
    x = x * 1664525U + 1013904223U;
    c = static_cast<char>(x >> 24);
  }
  return bytes;
}

// Fills the connection from this end until nothing goes any more for a while.
inline size_t fill(int fd) {
  const std::string block(65536, 'f');
  set_deadline(fd, std::chrono::milliseconds(200));
  size_t total = 0;
  for (;;) {
    const ssize_t n = ::send(fd, block.data(), block.size(), 0);
    if (n <= 0) break;
    total += static_cast<size_t>(n);
  }
  set_deadline(fd);
  return total;
}

}  // namespace mvm::test
