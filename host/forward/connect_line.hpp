// SPDX-License-Identifier: Apache-2.0
// The first line of a client of vsock.sock: "CONNECT <port>\n".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mvm::host {

inline constexpr size_t connect_line_max_bytes = 32;  // with its newline

struct ConnectLine {
  enum class State { incomplete, complete, refused };
  State state = State::incomplete;
  uint32_t port = 0;
  size_t size_bytes = 0;  // of the line with its newline: what follows is for the guest
};

// received: all that has come so far. As Firecracker reads it: the word in any case, blanks between the words, "\r\n"
// too. Ports 0 and 2^32 - 1 ("any") are refused.
ConnectLine parse_connect_line(std::string_view received);

}  // namespace mvm::host
