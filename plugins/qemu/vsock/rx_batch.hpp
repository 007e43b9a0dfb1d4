// SPDX-License-Identifier: Apache-2.0
// Several of the guest's receive buffers as one: filled by a single read from a socket, and sent as a packet each.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "vsock/virtqueue.hpp"
#include "vsock/vsock_packet.hpp"

namespace mvm::qemu {

class RxBatch {
 public:
  static constexpr unsigned max_chains = 16;

  // Takes up to `chains` buffers, for up to `bytes` of data. True if there was one at least. A buffer without room for
  // data breaks the ring.
  bool gather(Virtqueue& queue, unsigned chains, uint64_t bytes);

  // Where data goes.
  std::span<iovec> data() noexcept { return data_; }

  // Sends the first `bytes` of it: header(n) makes the header of a packet of n bytes. Gives unused buffers back, and
  // returns how many were used.
  template <class Header>
  unsigned deliver(Virtqueue& queue, uint64_t bytes, Header header) {
    unsigned used = 0;
    for (; bytes > 0; ++used) {
      const uint64_t len = std::min(bytes, slots_[used].room);
      send(queue, slots_[used].chain, header(static_cast<uint32_t>(len)));
      bytes -= len;
    }
    queue.rewind(static_cast<uint16_t>(count_ - used));
    count_ = 0;
    return used;
  }

  // Sends a packet without data, in the first buffer.
  void send_control(Virtqueue& queue, const PacketHeader& header) {
    send(queue, slots_[0].chain, header);
    queue.rewind(static_cast<uint16_t>(std::exchange(count_, 0) - 1));
  }

 private:
  struct Slot {
    Chain chain;
    uint64_t room = 0;
  };

  bool add(Virtqueue& queue, Slot& slot, uint64_t bytes);
  static void send(Virtqueue& queue, const Chain& chain, const PacketHeader& header);

  std::array<Slot, max_chains> slots_;
  unsigned count_ = 0;
  std::vector<iovec> data_;
};

}  // namespace mvm::qemu
