// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/socket.h>

namespace mvm::mock {

void Connections::add(std::shared_ptr<Closable> connection) {
  const Closable* key = connection.get();
  open_.emplace(key, std::move(connection));
}

void Connections::remove(const Closable* connection) noexcept { open_.erase(connection); }

void Connections::close_all() noexcept {
  // Each takes itself out: from a table that nobody walks.
  for (const auto& [key, connection] : std::exchange(open_, {})) connection->close();
}

void Connections::let_go() {
  held_ = false;
  const auto all = open_;  // what wakes may end, and take itself out
  for (const auto& [key, connection] : all) connection->wake();
}

Connection::Connection(Connections& connections, Socket socket)
    : connections_(connections), socket_(std::move(socket)) {}

void Connection::start() {
  connections_.add(shared_from_this());
  arm();
}

void Connection::close() noexcept {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  boost::system::error_code ignored;
  socket_.close(ignored);
  outbox_ = {};
  connections_.remove(this);
}

UniqueFd Connection::release() {
  closed_ = true;
  UniqueFd fd(socket_.release());
  connections_.remove(this);
  return fd;
}

// True when there is nothing more to wait for.
bool Connection::settle_ending() {
  if (ending_ == Ending::no || !outbox_.empty() || producing()) return false;
  if (ending_ == Ending::close) {
    close();
    return true;
  }
  if (!std::exchange(shut_, true)) ::shutdown(socket_.native_handle(), SHUT_WR);
  return false;
}

void Connection::arm() {
  if (closed_ || connections_.held() || settle_ending()) return;
  if (writes_next()) {
    wait(true);
  } else if (!paused_) {
    wait(false);
  }
}

void Connection::wait(bool write) {
  bool& waiting = write ? waiting_to_write_ : waiting_to_read_;
  if (std::exchange(waiting, true)) return;
  socket_.async_wait(write ? Socket::wait_write : Socket::wait_read,
                     [self = shared_from_this(), write](const boost::system::error_code& failed) {
                       (write ? self->waiting_to_write_ : self->waiting_to_read_) = false;
                       if (failed) self->close();
                       self->ready(write);
                     });
}

// A wait may have become stale meanwhile: what is done goes by what is due now.
void Connection::ready(bool write) {
  try {
    if (!closed_ && !connections_.held() && write == writes_next() && (write || !paused_))
      write ? on_writable() : on_readable();
    arm();
  } catch (...) {
    close();  // out of memory, or of files: costs this connection and no other
  }
}

void Connection::resume() {
  paused_ = false;
  arm();
}

void Connection::finish() {
  ending_ = Ending::finish;
  arm();
}

void Connection::close_when_sent() {
  ending_ = Ending::close;
  arm();
}

size_t Connection::send_now(std::string_view bytes) {
  const ssize_t n = send_some(socket_.native_handle(), bytes.data(), bytes.size());
  if (n >= 0) return static_cast<size_t>(n);
  if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOBUFS) close();
  return 0;
}

void Connection::send(std::string_view bytes) {
  if (closed_) return;
  if (outbox_.empty() && !connections_.held()) bytes.remove_prefix(send_now(bytes));
  if (closed_ || bytes.empty()) return;
  outbox_.append(bytes);
  arm();
}

void Connection::on_writable() {
  if (outbox_.empty()) {
    produce();
    return;
  }
  outbox_.erase(0, send_now(outbox_));
  if (outbox_.empty()) outbox_ = {};  // gives the memory back
}

void Connection::on_readable() {
  Connections::Scratch& scratch = connections_.scratch();
  const size_t limit = std::min(read_limit(), scratch.size());
  const ssize_t n = ::recv(socket_.native_handle(), scratch.data(), limit, 0);
  if (n > 0) {
    if (ending_ == Ending::no) on_bytes({scratch.data(), static_cast<size_t>(n)});
  } else if (n == 0) {
    ending_ == Ending::no ? on_eof() : close();
  } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
    close();
  }
}

}  // namespace mvm::mock
