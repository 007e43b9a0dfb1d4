// SPDX-License-Identifier: Apache-2.0
#include "forward/connect_line.hpp"

#include "fuzz.hpp"

using namespace mvm::host;
using mvm::fuzz::must;
using State = ConnectLine::State;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = mvm::fuzz::text(data, size);
  const ConnectLine line = parse_connect_line(text);
  if (line.state == State::complete) {
    must(line.port != 0 && line.size_bytes <= connect_line_max_bytes && line.size_bytes <= size);
    must(text[line.size_bytes - 1] == '\n');
  }
  if (size >= connect_line_max_bytes) must(line.state != State::incomplete);
  // A line that comes in pieces is read as the same line.
  for (size_t n = 0; n < size; ++n) {
    const ConnectLine part = parse_connect_line(text.substr(0, n));
    if (part.state == State::incomplete) continue;
    must(part.state == line.state && part.port == line.port && part.size_bytes == line.size_bytes);
  }
  return 0;
}
