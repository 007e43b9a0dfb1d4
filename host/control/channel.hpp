// SPDX-License-Identifier: Apache-2.0
// Messages and fds over a connected Unix socket: each message behind its length (u32, big-endian), an fd beside the
// first byte of the message it belongs to (SCM_RIGHTS).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "mvm/hypervisor.hpp"

namespace mvm::host {

// Lives as long as it is open or somebody holds it. Event loop: one thread.
class Channel : public std::enable_shared_from_this<Channel> {
 public:
  static constexpr size_t max_message_bytes = 1024 * 1024;
  static constexpr size_t max_unsent_bytes = 4 * max_message_bytes;  // a peer that doesn't read is closed

  // on_message: bytes of one message; fds come in the order they were sent, taken with take_fd. on_closed: once, when
  // the peer is gone, broke the framing or close was called.
  using OnMessage = std::function<void(Channel&, std::string_view bytes)>;
  using OnClosed = std::function<void(Channel&)>;

  static std::shared_ptr<Channel> open(boost::asio::io_context& loop, UniqueFd fd, OnMessage on_message,
                                       OnClosed on_closed);

  void send(std::string_view bytes, UniqueFd fd = UniqueFd());
  // The oldest fd that arrived and was not taken; empty when there is none.
  UniqueFd take_fd();
  // After what is queued has been sent, or at once.
  void close_when_sent();
  void close();

 private:
  struct Unsent {
    std::string bytes;
    size_t sent = 0;
    UniqueFd fd;
  };

  Channel(boost::asio::io_context& loop, UniqueFd fd, OnMessage on_message, OnClosed on_closed);
  void wait_readable();
  void wait_writable();
  bool receive();  // false: closed
  bool deliver();
  void flush();

  boost::asio::posix::stream_descriptor socket_;
  OnMessage on_message_;
  OnClosed on_closed_;
  std::string received_;
  std::deque<UniqueFd> fds_;
  std::deque<Unsent> unsent_;
  size_t unsent_bytes_ = 0;
  bool writing_ = false;
  bool closing_ = false;
};

// A connected pair; the first is non-blocking, both close-on-exec. Empty fds and errno on failure.
std::pair<UniqueFd, UniqueFd> socket_pair();

}  // namespace mvm::host
