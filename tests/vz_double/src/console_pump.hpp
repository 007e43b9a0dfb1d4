// SPDX-License-Identifier: Apache-2.0
// Between the simulated guest's console, which is a socket, and what a serial port is attached to, which may be a pipe,
// a terminal or a file.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "guest/socket_pair.hpp"

namespace mvm::vz_double {

// On the loop's thread.
class ConsolePump final : public std::enable_shared_from_this<ConsolePump> {
 public:
  // Either of the two may be none. drained: once, when all that the guest printed was taken, or cannot be.
  ConsolePump(boost::asio::io_context& loop, UniqueFd guest, UniqueFd typed, UniqueFd printed,
              std::function<void()> drained);

  void start();
  void close() noexcept;  // idempotent

 private:
  using Buffer = std::array<char, 16 * 1024>;

  void read_guest();
  void print(size_t size);
  void read_typed();
  void finish();

  mock::Socket guest_;
  boost::asio::posix::stream_descriptor typed_;
  boost::asio::posix::stream_descriptor printed_;
  std::function<void()> drained_;
  Buffer from_guest_{};
  Buffer from_host_{};
};

}  // namespace mvm::vz_double
