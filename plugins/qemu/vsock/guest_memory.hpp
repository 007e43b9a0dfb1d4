// SPDX-License-Identifier: Apache-2.0
// The guest's memory, mapped into this process. The guest writes to it at any time: whatever is read from it is copied
// first, and checked afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sys/uio.h>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

struct MemoryRegion {
  uint64_t guest_address;
  uint64_t size;
  uint64_t user_address;  // where QEMU itself has it mapped: ring addresses come in these
  uint64_t file_offset;
};

class GuestMemory {
 public:
  static constexpr size_t max_regions = 8;  // what a front end may send without CONFIGURE_MEM_SLOTS

  GuestMemory() = default;  // no memory at all
  // Maps regions[i] from files[i]. Throws mvm::Error, MVM_ERR_INVALID for a table that is not possible.
  GuestMemory(std::span<const MemoryRegion> regions, std::span<const UniqueFd> files);

  // Appends where [address, address + size) is mapped; false, with nothing appended, if any byte of it isn't memory.
  bool resolve(uint64_t address, uint64_t size, std::vector<iovec>& out) const;

  // The same for one piece in one region; null if there is none.
  std::byte* resolve_whole(uint64_t address, uint64_t size) const noexcept;

  // The same for an address of QEMU's.
  std::byte* resolve_user(uint64_t user_address, uint64_t size) const noexcept;

 private:
  class Mapping {
   public:
    Mapping(const MemoryRegion& region, int file);
    Mapping(Mapping&& other) noexcept;
    Mapping& operator=(Mapping&&) = delete;
    ~Mapping();

    const MemoryRegion& region() const noexcept { return region_; }
    std::byte* at(uint64_t offset) const noexcept { return base_ + region_.file_offset + offset; }

   private:
    MemoryRegion region_;
    std::byte* base_ = nullptr;
  };

  const Mapping* find(uint64_t address) const noexcept;

  std::vector<Mapping> mappings_;
};

}  // namespace mvm::qemu
