// SPDX-License-Identifier: Apache-2.0
#include "vsock/rx_batch.hpp"

#include <cstddef>

#include "vsock/iovecs.hpp"

namespace mvm::qemu {

bool RxBatch::gather(Virtqueue& queue, unsigned chains, uint64_t bytes) {
  count_ = 0;
  data_.clear();
  while (count_ < std::min(chains, max_chains) && bytes > 0 && add(queue, slots_[count_], bytes)) {
    bytes -= slots_[count_++].room;
  }
  if (queue.broken()) count_ = 0;
  return count_ > 0;
}

// The data begins behind the header, wherever in the chain that is.
bool RxBatch::add(Virtqueue& queue, Slot& slot, uint64_t bytes) {
  if (!queue.pop(slot.chain)) return false;
  if (slot.chain.writable_bytes <= sizeof(PacketHeader)) {
    queue.fail("a receive buffer is too small for a packet");
    return false;
  }
  slot.room = std::min(bytes, slot.chain.writable_bytes - sizeof(PacketHeader));
  const size_t before = data_.size();
  data_.insert(data_.end(), slot.chain.writable.begin(), slot.chain.writable.end());
  const std::span<iovec> all = std::span(data_).subspan(before);
  const std::span<iovec> room = keep_front(skip_front(all, sizeof(PacketHeader)), slot.room);
  std::copy(room.begin(), room.end(), all.begin());
  data_.resize(before + room.size());
  return true;
}

void RxBatch::send(Virtqueue& queue, const Chain& chain, const PacketHeader& header) {
  copy_to(chain.writable, std::as_bytes(std::span(&header, 1)));
  queue.push(chain.head, static_cast<uint32_t>(sizeof header + header.len));
}

}  // namespace mvm::qemu
