// SPDX-License-Identifier: Apache-2.0
#include "relay.hpp"

#include <cerrno>
#include <utility>

#include <sys/socket.h>

namespace mvm::mock {
namespace {

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR || errno == ENOBUFS; }

}  // namespace

Relay::Relay(Connections& connections, Socket a, Socket b, std::string already_read)
    : connections_(connections),
      a_(std::move(a)),
      b_(std::move(b)),
      forth_{a_, b_, std::move(already_read)},
      back_{b_, a_, {}} {}

void Relay::start() {
  connections_.add(shared_from_this());
  wake();
}

void Relay::wake() {
  arm(forth_);
  arm(back_);
}

void Relay::close() noexcept {
  if (std::exchange(closed_, true)) return;
  const auto self = shared_from_this();
  boost::system::error_code ignored;
  a_.close(ignored);
  b_.close(ignored);
  connections_.remove(this);
}

void Relay::arm(Direction& direction) {
  if (closed_ || direction.ended || direction.waiting || connections_.held()) return;
  direction.waiting = true;
  const bool reads = direction.held.empty();
  Socket& socket = reads ? direction.from : direction.to;
  socket.async_wait(reads ? Socket::wait_read : Socket::wait_write,
                    [self = shared_from_this(), &direction, reads](const boost::system::error_code& failed) {
                      direction.waiting = false;
                      if (self->closed_ || self->connections_.held()) return;
                      if (failed) return self->close();
                      try {
                        reads ? self->read(direction) : self->write(direction, std::exchange(direction.held, {}));
                        self->arm(direction);
                      } catch (...) {
                        self->close();
                      }
                    });
}

void Relay::read(Direction& direction) {
  Connections::Scratch& scratch = connections_.scratch();
  const ssize_t n = ::recv(direction.from.native_handle(), scratch.data(), scratch.size(), 0);
  if (n > 0) {
    write(direction, {scratch.data(), static_cast<size_t>(n)});
  } else if (n == 0) {
    end(direction);
  } else if (!would_block()) {
    close();
  }
}

void Relay::write(Direction& direction, std::string_view bytes) {
  const ssize_t n = send_some(direction.to.native_handle(), bytes.data(), bytes.size());
  if (n < 0 && !would_block()) return close();
  if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
  direction.held = bytes;
}

void Relay::end(Direction& direction) {
  direction.ended = true;
  ::shutdown(direction.to.native_handle(), SHUT_WR);
  if (forth_.ended && back_.ended) close();
}

}  // namespace mvm::mock
