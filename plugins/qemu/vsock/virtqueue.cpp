// SPDX-License-Identifier: Apache-2.0
#include "vsock/virtqueue.hpp"

#include <atomic>
#include <bit>
#include <cstring>

namespace mvm::qemu {
namespace {

constexpr uint16_t descriptor_next = 1;
constexpr uint16_t descriptor_write = 2;
constexpr uint16_t descriptor_indirect = 4;
constexpr uint16_t available_no_interrupt = 1;
constexpr uint16_t used_no_notify = 1;

// The rings' heads, in units of 16 bits.
constexpr size_t flags_at = 0;
constexpr size_t index_at = 1;
constexpr size_t ring_at = 2;

struct UsedElement {
  uint32_t id;
  uint32_t len;
};
static_assert(sizeof(UsedElement) == 8);

// Both sides' indices and flags. Sequentially consistent: "I published, do you want an interrupt" here and "I want one,
// is there anything" there must not both be answered no (2.7.7.1).
uint16_t load(uint16_t& field) { return std::atomic_ref(field).load(std::memory_order_seq_cst); }
void store(uint16_t& field, uint16_t value) { std::atomic_ref(field).store(value, std::memory_order_seq_cst); }

size_t available_bytes(uint32_t size) { return 2 * (ring_at + size + 1); }
size_t used_bytes(uint32_t size) { return 2 * ring_at + sizeof(UsedElement) * size + 2; }

bool is_aligned(const void* p, uintptr_t to) { return reinterpret_cast<uintptr_t>(p) % to == 0; }

}  // namespace

void Chain::clear(uint16_t new_head) {
  head = new_head;
  readable.clear();
  writable.clear();
  readable_bytes = 0;
  writable_bytes = 0;
}

struct Virtqueue::Descriptor {
  uint64_t address;
  uint32_t len;
  uint16_t flags;
  uint16_t next;
};

struct Virtqueue::Table {
  const std::byte* entries;
  uint32_t size;
  bool indirect;

  // The compiler must not read guest memory again for what was copied.
  Descriptor read(uint16_t index) const {
    Descriptor copy;
    static_assert(sizeof copy == 16);
    std::memcpy(&copy, entries + sizeof copy * index, sizeof copy);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    return copy;
  }
};

bool Virtqueue::set_size(uint32_t size) {
  unresolve();
  const bool possible = std::has_single_bit(size) && size <= max_size;
  size_ = possible ? size : 0;
  return possible;
}

void Virtqueue::set_addresses(const Addresses& addresses) {
  unresolve();
  addresses_ = addresses;
}

void Virtqueue::set_base(uint16_t next_available) {
  unresolve();
  next_available_ = seen_available_ = next_available;
  fault_ = {};
}

void Virtqueue::set_features(Features features) {
  unresolve();
  features_ = features;
}

bool Virtqueue::resolve(const GuestMemory& memory) {
  unresolve();
  if (size_ == 0) return false;
  std::byte* descriptors = memory.resolve_user(addresses_.descriptors, sizeof(Descriptor) * size_);
  std::byte* available = memory.resolve_user(addresses_.available, available_bytes(size_));
  std::byte* used = memory.resolve_user(addresses_.used, used_bytes(size_));
  if (descriptors == nullptr || available == nullptr || used == nullptr) return false;
  if (!is_aligned(descriptors, 16) || !is_aligned(available, 2) || !is_aligned(used, 4)) return false;
  memory_ = &memory;
  descriptors_ = descriptors;
  available_ = reinterpret_cast<uint16_t*>(available);
  used_ = reinterpret_cast<uint16_t*>(used);
  // Nothing is in flight when a ring is set up or moved, so both sides' counts are one.
  next_used_ = published_ = load(used_[index_at]);
  return true;
}

bool Virtqueue::found(std::string_view fault) noexcept {
  fail(fault);
  return false;
}

bool Virtqueue::pop(Chain& chain) {
  if (next_available_ == seen_available_) {
    seen_available_ = load(available_[index_at]);
    if (next_available_ == seen_available_) return false;
  }
  if (static_cast<uint16_t>(seen_available_ - next_available_) > size_) {
    return found("more chains are available than the ring holds");
  }
  const uint16_t head =
      std::atomic_ref(available_[ring_at + (next_available_ & (size_ - 1))]).load(std::memory_order_relaxed);
  chain.clear(head);
  if (!walk(head, chain)) return false;
  ++next_available_;
  return true;
}

bool Virtqueue::walk(uint16_t head, Chain& chain) {
  Table table{descriptors_, size_, false};
  uint16_t index = head;
  for (uint32_t left = size_ + 1; left > 0; --left) {  // an indirect table takes a descriptor of its own
    if (index >= table.size) return found("a descriptor's number is out of range");
    const Descriptor descriptor = table.read(index);
    if ((descriptor.flags & descriptor_indirect) != 0) {
      if (!enter_indirect(descriptor, table)) return false;
      index = 0;
      continue;
    }
    if (!add(descriptor, chain)) return false;
    if ((descriptor.flags & descriptor_next) == 0) return true;
    index = descriptor.next;
  }
  return found("a chain of descriptors is longer than the ring, or a loop");
}

bool Virtqueue::enter_indirect(const Descriptor& descriptor, Table& table) {
  if (!features_.indirect) return found("an indirect descriptor was used, which was not offered");
  if (table.indirect || (descriptor.flags & descriptor_next) != 0) {
    return found("an indirect descriptor is within an indirect table, or goes on after it");
  }
  if (descriptor.len == 0 || descriptor.len % sizeof(Descriptor) != 0) {
    return found("an indirect table's size is not a multiple of a descriptor's");
  }
  const std::byte* entries = memory_->resolve_whole(descriptor.address, descriptor.len);
  if (entries == nullptr) return found("an indirect table is not in guest memory");
  table = {entries, static_cast<uint32_t>(descriptor.len / sizeof(Descriptor)), true};
  return true;
}

bool Virtqueue::add(const Descriptor& descriptor, Chain& chain) {
  if (descriptor.len == 0) return found("a descriptor is empty");
  if ((descriptor.flags & descriptor_write) != 0) {
    chain.writable_bytes += descriptor.len;
    if (memory_->resolve(descriptor.address, descriptor.len, chain.writable)) return true;
  } else {
    if (!chain.writable.empty()) return found("a readable descriptor follows a writable one");
    chain.readable_bytes += descriptor.len;
    if (memory_->resolve(descriptor.address, descriptor.len, chain.readable)) return true;
  }
  return found("a descriptor's buffer is not in guest memory");
}

void Virtqueue::push(uint16_t head, uint32_t written_bytes) noexcept {
  const UsedElement element{head, written_bytes};
  std::byte* ring = reinterpret_cast<std::byte*>(used_ + ring_at);
  std::memcpy(ring + sizeof element * (next_used_ & (size_ - 1)), &element, sizeof element);
  ++next_used_;
}

bool Virtqueue::publish() noexcept {
  if (next_used_ == published_) return false;
  store(used_[index_at], next_used_);
  const uint16_t before = published_;
  published_ = next_used_;
  return wants_interrupt(before, next_used_);
}

// 2.7.7.2 and, with an event index, 2.7.10: the driver names the entry after which it wants to hear.
bool Virtqueue::wants_interrupt(uint16_t before, uint16_t now) noexcept {
  if (!features_.event_index) return (load(available_[flags_at]) & available_no_interrupt) == 0;
  const uint16_t event = load(available_[ring_at + size_]);
  return static_cast<uint16_t>(now - event - 1) < static_cast<uint16_t>(now - before);
}

// With an event index there is no such flag: an event left behind asks for nothing.
void Virtqueue::disable_kicks() noexcept {
  if (!features_.event_index) store(used_[flags_at], used_no_notify);
}

bool Virtqueue::enable_kicks() noexcept {
  if (features_.event_index) {
    store(used_[ring_at + size_ * (sizeof(UsedElement) / 2)], next_available_);
  } else {
    store(used_[flags_at], 0);
  }
  return load(available_[index_at]) != next_available_;
}

}  // namespace mvm::qemu
