// SPDX-License-Identifier: Apache-2.0
// Blocking reads and writes with a deadline, for a test's end of a stream. All throw std::runtime_error when it passes.
#pragma once

#include <string>
#include <string_view>

namespace mvm::host::check {

void write_all(int fd, std::string_view bytes);
void end_writing(int fd);  // SHUT_WR
std::string read_exactly(int fd, size_t size);
std::string read_line(int fd);  // without its newline
std::string read_to_end(int fd);

// Sends everything while it takes what comes back: for peers with backpressure. Ends writing after the last byte.
std::string exchange(int fd, std::string_view bytes);

// Whether something came, or the end, within so many milliseconds.
bool readable_within(int fd, int limit_ms);

// Whether the peer takes no more bytes just now.
bool is_full(int fd);

std::string some_bytes(size_t size, unsigned seed = 1);
size_t open_fds();

}  // namespace mvm::host::check
