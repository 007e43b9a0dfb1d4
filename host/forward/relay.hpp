// SPDX-License-Identifier: Apache-2.0
// Moves bytes both ways between two stream sockets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "mvm/hypervisor.hpp"

namespace mvm::host {

struct RelayTotals {
  uint64_t bytes_a_to_b = 0;
  uint64_t bytes_b_to_a = 0;
};

// Starts relaying between a and b, which become the relay's, until both directions have ended; then closes both and
// calls `ended` once, on the loop. Half-close is kept: the end of one direction is passed on and the other goes on. A
// reset on one side resets the other. A side that does not read holds up its own direction only, at 256 KiB of buffered
// bytes at most, beside first_to_b; an idle relay holds no buffer. first_to_b: bytes that came from a before the relay
// began. sum: what moves is added to that too, as it moves. On Linux much that comes from TCP is spliced, through a
// pipe that the relay has only while bytes flow. Event loop: one thread, this one.
void start_relay(boost::asio::io_context& loop, UniqueFd a, UniqueFd b, std::string first_to_b,
                 std::function<void(RelayTotals)> ended, std::shared_ptr<RelayTotals> sum = nullptr);

}  // namespace mvm::host
