// SPDX-License-Identifier: Apache-2.0
#include "byte_services.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace mvm::mock {

SlowEchoService::SlowEchoService(Connections& connections, Socket socket, uint64_t bytes_per_s)
    : Connection(connections, std::move(socket)), bytes_per_s_(bytes_per_s), timer_(executor()) {}

void SlowEchoService::close() noexcept {
  try {
    timer_.cancel();
  } catch (...) {
    // the timer then runs out by itself and finds the connection closed
  }
  Connection::close();
}

// Pieces of a twentieth of a second: slow, not jerky.
size_t SlowEchoService::read_limit() const { return static_cast<size_t>(std::max<uint64_t>(1, bytes_per_s_ / 20)); }

void SlowEchoService::on_bytes(std::string_view bytes) {
  send(bytes);
  pause();
  timer_.expires_after(std::chrono::microseconds(bytes.size() * 1'000'000 / bytes_per_s_));
  timer_.async_wait([self = shared_from_this(), this](const boost::system::error_code& failed) {
    if (!failed) resume();
  });
}

namespace {

constexpr size_t line_width = 72;
constexpr size_t alphabet = 95;  // the printable characters

// Some whole periods: after them the pattern begins again, and one send carries a good piece.
std::string make_pattern() {
  std::string pattern;
  for (size_t line = 0; line < 8 * alphabet; ++line) {
    for (size_t column = 0; column < line_width; ++column) {
      pattern += static_cast<char>(' ' + (line + column) % alphabet);
    }
    pattern += "\r\n";
  }
  return pattern;
}

}  // namespace

void PatternService::produce() {
  static const std::string pattern = make_pattern();
  offset_ = (offset_ + send_now(std::string_view(pattern).substr(offset_))) % pattern.size();
}

}  // namespace mvm::mock
