// SPDX-License-Identifier: Apache-2.0
#include "backend.hpp"

#include <vector>

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/local_socket.hpp"
#include "measure.hpp"

namespace mvm::bench {
namespace {

constexpr size_t buffer_bytes = 256 * 1024;
constexpr int most_descriptors = 65536;

class Backend {
 public:
  explicit Backend(int listening) : listening_(listening), kinds_(most_descriptors, 0), buffer_(buffer_bytes, 'x') {
    answer_ = "HTTP/1.0 200 OK\r\nContent-Length: 1024\r\n\r\n" + std::string(1024, 'k');
    watch(listening_, EPOLLIN);
  }

  [[noreturn]] void run() {
    std::vector<epoll_event> events(256);
    for (;;) {
      const int count = ::epoll_wait(loop_, events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < count; ++i) {
        const int fd = events[static_cast<size_t>(i)].data.fd;
        fd == listening_ ? accept_all() : serve(fd);
      }
    }
  }

 private:
  void watch(int fd, uint32_t what) const {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    ::epoll_ctl(loop_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listening_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      kinds_[static_cast<size_t>(fd)] = 0;
      watch(fd, EPOLLIN);
    }
  }

  void serve(int fd) {
    char& kind = kinds_[static_cast<size_t>(fd)];
    if (kind == 'g') return generate(fd);
    const ssize_t got = ::recv(fd, in_, sizeof(in_), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return void(::close(fd));
    size_t skip = 0;
    if (kind == 0) {
      kind = in_[0];
      skip = 1;
    }
    if (kind == 'e') ::send(fd, in_ + skip, static_cast<size_t>(got) - skip, MSG_NOSIGNAL);
    if (kind == 'g') start_generating(fd);
    if (kind != 'G') return;
    ::send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
    ::close(fd);
  }

  void start_generating(int fd) const {
    epoll_event event{};
    event.events = EPOLLOUT;
    event.data.fd = fd;
    ::epoll_ctl(loop_, EPOLL_CTL_MOD, fd, &event);
  }

  void generate(int fd) {
    if (::send(fd, buffer_.data(), buffer_.size(), MSG_NOSIGNAL) < 0 && errno != EAGAIN) ::close(fd);
  }

  int loop_ = ::epoll_create1(EPOLL_CLOEXEC);
  int listening_;
  std::vector<char> kinds_;  // by descriptor
  std::string buffer_;
  std::string answer_;
  char in_[buffer_bytes];
};

}  // namespace

pid_t start_backend(const std::string& path) {
  auto listening = host::listen_local(path);
  if (!listening) give_up(listening.error().message);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  static Backend backend(listening->get());
  backend.run();
}

}  // namespace mvm::bench
