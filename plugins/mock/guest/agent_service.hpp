// SPDX-License-Identifier: Apache-2.0
// The guest agent's framing: u32 big-endian length, then that much JSON. "Ping" is answered with "Pong".
#pragma once

#include <cstdint>
#include <string>

#include "connection.hpp"

namespace mvm::mock {

class AgentService final : public Connection {
 public:
  static constexpr uint32_t max_frame_bytes = 256 * 1024;

  using Connection::Connection;

 private:
  void on_bytes(std::string_view bytes) override;
  bool take_frame();
  void answer(std::string_view json);

  std::string inbox_;
};

}  // namespace mvm::mock
