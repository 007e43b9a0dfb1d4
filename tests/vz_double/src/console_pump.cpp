// SPDX-License-Identifier: Apache-2.0
#include "console_pump.hpp"

#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>

namespace mvm::vz_double {

using boost::system::error_code;

ConsolePump::ConsolePump(boost::asio::io_context& loop, UniqueFd guest, UniqueFd typed, UniqueFd printed,
                         std::function<void()> drained)
    : guest_(mock::adopt(loop, std::move(guest))), typed_(loop), printed_(loop), drained_(std::move(drained)) {
  if (typed) typed_.assign(typed.release());
  if (printed) printed_.assign(printed.release());
}

void ConsolePump::start() {
  read_guest();
  if (typed_.is_open()) read_typed();
}

void ConsolePump::close() noexcept {
  error_code ignored;
  guest_.close(ignored);
  typed_.close(ignored);
  printed_.close(ignored);
}

void ConsolePump::finish() {
  close();
  if (const auto drained = std::exchange(drained_, {})) drained();
}

void ConsolePump::read_guest() {
  guest_.async_read_some(boost::asio::buffer(from_guest_),
                         [self = shared_from_this()](const error_code& failed, size_t size) {
                           failed ? self->finish() : self->print(size);
                         });
}

void ConsolePump::print(size_t size) {
  if (!printed_.is_open()) return read_guest();
  boost::asio::async_write(
      printed_, boost::asio::buffer(from_guest_.data(), size),
      [self = shared_from_this()](const error_code& failed, size_t) { failed ? self->finish() : self->read_guest(); });
}

void ConsolePump::read_typed() {
  typed_.async_read_some(boost::asio::buffer(from_host_),
                         [self = shared_from_this()](const error_code& ended, size_t size) {
                           if (ended) return;  // nobody types any more; what is printed still matters
                           boost::asio::async_write(self->guest_, boost::asio::buffer(self->from_host_.data(), size),
                                                    [self](const error_code& failed, size_t) {
                                                      if (!failed) self->read_typed();
                                                    });
                         });
}

}  // namespace mvm::vz_double
