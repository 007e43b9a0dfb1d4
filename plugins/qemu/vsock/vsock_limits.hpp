// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace mvm::qemu {

struct VsockLimits {
  // Connections of one VM, both ways together. What the guest opens beyond is reset, what the host opens fails.
  uint32_t max_connections = 16384;

  // What a connection keeps for a reader on the host who is slow, beyond its socket's own buffer: memory that is used
  // only meanwhile. All connections together promise the guest about buffers_bytes; when that runs short, new ones get
  // less, down to min_buffer_bytes each.
  uint32_t buffer_bytes = 256 * 1024;
  uint32_t min_buffer_bytes = 16 * 1024;
  uint64_t buffers_bytes = 256ull * 1024 * 1024;

  // Resets that wait for room in the guest's ring; with more, nothing is taken from the guest until it makes room.
  uint32_t max_waiting_resets = 1024;

  // How long a guest has to confirm that a connection has ended, before it is reset. Linux, too, waits for 8 s.
  std::chrono::milliseconds close_timeout{8000};

  // How long a guest has to answer a connect that is tried once.
  std::chrono::milliseconds answer_timeout{5000};

  // Between two tries of a port that nobody listens on yet: twice as long each time.
  std::chrono::milliseconds min_retry{5};
  std::chrono::milliseconds max_retry{100};
};

}  // namespace mvm::qemu
