// SPDX-License-Identifier: Apache-2.0
#include "control/channel.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace mvm::host {
namespace {

constexpr size_t length_bytes = 4;
constexpr size_t max_fds_queued = 16;

void set_cloexec_nonblocking(int fd) {
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
#if defined(SO_NOSIGPIPE)
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

ssize_t send_with_fd(int socket, const char* data, size_t size, int fd) {
  iovec part{const_cast<char*>(data), size};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd >= 0) {
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
#if defined(MSG_NOSIGNAL)
  return ::sendmsg(socket, &message, MSG_NOSIGNAL);
#else
  return ::sendmsg(socket, &message, 0);
#endif
}

void take_fds(msghdr& message, std::deque<UniqueFd>& fds) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int fds[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) return {};
  set_cloexec_nonblocking(fds[0]);
  ::fcntl(fds[1], F_SETFD, FD_CLOEXEC);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::shared_ptr<Channel> Channel::open(boost::asio::io_context& loop, UniqueFd fd, OnMessage on_message,
                                       OnClosed on_closed) {
  set_cloexec_nonblocking(fd.get());
  std::shared_ptr<Channel> channel(new Channel(loop, std::move(fd), std::move(on_message), std::move(on_closed)));
  channel->wait_readable();
  return channel;
}

Channel::Channel(boost::asio::io_context& loop, UniqueFd fd, OnMessage on_message, OnClosed on_closed)
    : socket_(loop, fd.release()), on_message_(std::move(on_message)), on_closed_(std::move(on_closed)) {}

void Channel::send(std::string_view bytes, UniqueFd fd) {
  if (!socket_.is_open()) return;
  Unsent message;
  const auto n = static_cast<uint32_t>(bytes.size());
  for (int shift = 24; shift >= 0; shift -= 8) message.bytes.push_back(static_cast<char>(n >> shift));
  message.bytes.append(bytes);
  message.fd = std::move(fd);
  unsent_bytes_ += message.bytes.size();
  unsent_.push_back(std::move(message));
  if (unsent_bytes_ > max_unsent_bytes) return close();
  if (!writing_) flush();
}

UniqueFd Channel::take_fd() {
  if (fds_.empty()) return UniqueFd();
  UniqueFd fd = std::move(fds_.front());
  fds_.pop_front();
  return fd;
}

void Channel::close_when_sent() {
  closing_ = true;
  if (unsent_.empty()) close();
}

void Channel::close() {
  if (!socket_.is_open()) return;
  boost::system::error_code ignored;
  socket_.close(ignored);
  unsent_.clear();
  fds_.clear();
  // Later, so that nobody who calls close or send is called back inside it.
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (auto closed = std::exchange(self->on_closed_, nullptr)) closed(*self);
    self->on_message_ = nullptr;
  });
}

void Channel::wait_readable() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (error || !self->socket_.is_open()) return;
                       if (self->receive()) self->wait_readable();
                     });
}

bool Channel::receive() {
  std::array<char, 16384> buffer;
  alignas(cmsghdr) char space[CMSG_SPACE(4 * sizeof(int))];
  iovec part{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
#if defined(MSG_CMSG_CLOEXEC)
  const ssize_t n = ::recvmsg(socket_.native_handle(), &message, MSG_CMSG_CLOEXEC);
#else
  const ssize_t n = ::recvmsg(socket_.native_handle(), &message, 0);
#endif
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n > 0) take_fds(message, fds_);
  if (n <= 0 || fds_.size() > max_fds_queued) {
    close();
    return false;
  }
  received_.append(buffer.data(), static_cast<size_t>(n));
  return deliver();
}

bool Channel::deliver() {
  while (received_.size() >= length_bytes) {
    size_t size = 0;
    for (size_t i = 0; i < length_bytes; ++i) size = size << 8 | static_cast<unsigned char>(received_[i]);
    if (size > max_message_bytes) {
      close();
      return false;
    }
    if (received_.size() < length_bytes + size) return true;
    const std::string bytes = received_.substr(length_bytes, size);
    received_.erase(0, length_bytes + size);
    if (on_message_) on_message_(*this, bytes);
    if (!socket_.is_open()) return false;
  }
  return true;
}

void Channel::wait_writable() {
  writing_ = true;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->writing_ = false;
                       if (!error && self->socket_.is_open()) self->flush();
                     });
}

void Channel::flush() {
  while (!unsent_.empty()) {
    Unsent& message = unsent_.front();
    const ssize_t n = send_with_fd(socket_.native_handle(), message.bytes.data() + message.sent,
                                   message.bytes.size() - message.sent, message.fd.get());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return wait_writable();
    if (n < 0) return close();
    message.fd.reset();  // went with the first byte
    message.sent += static_cast<size_t>(n);
    unsent_bytes_ -= static_cast<size_t>(n);
    if (message.sent == message.bytes.size()) unsent_.pop_front();
  }
  if (closing_) close();
}

}  // namespace mvm::host
