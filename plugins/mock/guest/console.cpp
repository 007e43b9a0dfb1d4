// SPDX-License-Identifier: Apache-2.0
#include "console.hpp"

#include <cstdio>

namespace mvm::mock {

Console::Console(Connections& connections, Socket socket) : Connection(connections, std::move(socket)) {}

void Console::kernel(std::string_view text) {
  const std::chrono::duration<double> age = std::chrono::steady_clock::now() - start_;
  char stamp[32];
  std::snprintf(stamp, sizeof stamp, "[%12.6f] ", age.count());
  line(std::string(stamp).append(text));
}

void Console::line(std::string_view text) { send(std::string(text) + "\r\n"); }

void Console::flood(uint64_t lines) {
  flood_ = lines;
  resume();
}

void Console::produce() {
  constexpr uint64_t lines_a_turn = 256;
  std::string lines;
  for (uint64_t n = 0; n < lines_a_turn && producing(); ++n) {
    lines += "console line " + std::to_string(++flooded_) + "\r\n";
  }
  send(lines);
}

void Console::end() {
  flooded_ = flood_;
  close_when_sent();
}

}  // namespace mvm::mock
