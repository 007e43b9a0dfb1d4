// SPDX-License-Identifier: Apache-2.0
// What the guest's kernel would print.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "connection.hpp"

namespace mvm::mock {

class Console final : public Connection {
 public:
  Console(Connections& connections, Socket socket);

  // "[    0.001234] text"
  void kernel(std::string_view text);
  // As it is, with a newline.
  void line(std::string_view text);
  // Prints so many numbered lines, as fast as the host takes them.
  void flood(uint64_t lines);
  // The guest is gone: closed when the host has taken what was printed.
  void end();

 private:
  void on_bytes(std::string_view typed) override { send(typed); }  // a terminal's echo; nobody sits at it
  bool producing() const override { return flooded_ < flood_; }
  void produce() override;

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  uint64_t flood_ = 0;
  uint64_t flooded_ = 0;
};

}  // namespace mvm::mock
