// SPDX-License-Identifier: Apache-2.0
// The device's side of a split virtqueue: virtio 1.2, section 2.7. What the driver wrote is input: every index, address
// and length is checked on a copy, a chain is bounded by the queue's size, and a ring that breaks the rules is broken
// until it is set up anew.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include <sys/uio.h>

#include "vsock/guest_memory.hpp"

namespace mvm::qemu {

// One chain of descriptors, as it lies in this process. Reused, so that no memory is allocated in the long run.
struct Chain {
  uint16_t head = 0;
  std::vector<iovec> readable;  // by the device
  std::vector<iovec> writable;
  uint64_t readable_bytes = 0;
  uint64_t writable_bytes = 0;

  void clear(uint16_t new_head);
};

class Virtqueue {
 public:
  static constexpr uint32_t max_size = 1024;

  // Addresses of QEMU's (GuestMemory::resolve_user).
  struct Addresses {
    uint64_t descriptors = 0;
    uint64_t available = 0;
    uint64_t used = 0;
  };

  struct Features {
    bool event_index = false;
    bool indirect = false;
  };

  // -- set up; each of these takes the ring out of use until it is resolved again
  bool set_size(uint32_t size);  // false if no ring can have it
  void set_addresses(const Addresses& addresses);
  void set_base(uint16_t next_available);
  void set_features(Features features);
  void unresolve() noexcept { descriptors_ = nullptr; }
  // Finds the rings in `memory`, which has to outlive their use. False if they aren't wholly in it, or not aligned.
  bool resolve(const GuestMemory& memory);

  bool ready() const noexcept { return descriptors_ != nullptr && !broken(); }
  uint32_t size() const noexcept { return size_; }
  uint16_t base() const noexcept { return next_available_; }

  // -- the driver's breach of the rules, empty while there was none
  bool broken() const noexcept { return !fault_.empty(); }
  std::string_view fault() const noexcept { return fault_; }
  void fail(std::string_view fault) noexcept { fault_ = fault; }  // a literal

  // -- use; only while ready
  // Takes the next chain. False when there is none, or when the ring is found to be broken.
  bool pop(Chain& chain);
  // Gives the latest `count` chains back, none of which was pushed.
  void rewind(uint16_t count) noexcept { next_available_ = static_cast<uint16_t>(next_available_ - count); }
  // Hands a chain to the driver, with the next publish.
  void push(uint16_t head, uint32_t written_bytes) noexcept;
  // Makes what was pushed visible; true if the driver wants to be interrupted for it.
  bool publish() noexcept;

  void disable_kicks() noexcept;
  // True if chains have become available meanwhile, for which no kick will come.
  bool enable_kicks() noexcept;

 private:
  struct Descriptor;
  struct Table;

  bool walk(uint16_t head, Chain& chain);
  bool enter_indirect(const Descriptor& descriptor, Table& table);
  bool add(const Descriptor& descriptor, Chain& chain);
  bool found(std::string_view fault) noexcept;
  bool wants_interrupt(uint16_t before, uint16_t now) noexcept;

  const GuestMemory* memory_ = nullptr;
  Addresses addresses_;
  Features features_;
  uint32_t size_ = 0;
  std::byte* descriptors_ = nullptr;
  uint16_t* available_ = nullptr;  // flags, idx, ring[size], used_event
  uint16_t* used_ = nullptr;       // flags, idx, {id, len}[size], avail_event
  uint16_t next_available_ = 0;
  uint16_t seen_available_ = 0;
  uint16_t next_used_ = 0;
  uint16_t published_ = 0;
  std::string_view fault_;
};

}  // namespace mvm::qemu
