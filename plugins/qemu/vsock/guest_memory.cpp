// SPDX-License-Identifier: Apache-2.0
#include "vsock/guest_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <sys/mman.h>
#include <sys/stat.h>

namespace mvm::qemu {
namespace {

bool wraps(uint64_t begin, uint64_t size) { return begin + size < begin; }

bool contains(uint64_t begin, uint64_t size, uint64_t address) { return address >= begin && address - begin < size; }

bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return contains(a, a_size, b) || contains(b, b_size, a);
}

// A page that the file does not reach would be a SIGBUS later.
void check(const MemoryRegion& region, int file) {
  if (region.size == 0 || wraps(region.guest_address, region.size) || wraps(region.user_address, region.size) ||
      wraps(region.file_offset, region.size) || region.file_offset + region.size > PTRDIFF_MAX) {
    throw Error(MVM_ERR_INVALID, "guest memory: a region of the table wraps around or is empty");
  }
  struct stat status {};
  if (::fstat(file, &status) != 0 || status.st_size < 0 ||
      static_cast<uint64_t>(status.st_size) < region.file_offset + region.size) {
    throw Error(MVM_ERR_INVALID, "guest memory: a region of the table is longer than its file");
  }
}

}  // namespace

// From the file's start: an offset need not be a multiple of the file's page size, as hugetlbfs would want it.
GuestMemory::Mapping::Mapping(const MemoryRegion& region, int file) : region_(region) {
  check(region, file);
  void* base =
      ::mmap(nullptr, region.file_offset + region.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (base == MAP_FAILED) {
    throw Error(MVM_ERR_INTERNAL, std::string("guest memory: cannot be mapped: ") + std::strerror(errno));
  }
  base_ = static_cast<std::byte*>(base);
}

GuestMemory::Mapping::Mapping(Mapping&& other) noexcept
    : region_(other.region_), base_(std::exchange(other.base_, nullptr)) {}

GuestMemory::Mapping::~Mapping() {
  if (base_ != nullptr) ::munmap(base_, region_.file_offset + region_.size);
}

GuestMemory::GuestMemory(std::span<const MemoryRegion> regions, std::span<const UniqueFd> files) {
  if (regions.size() > max_regions || regions.size() != files.size()) {
    throw Error(MVM_ERR_INVALID, "guest memory: the table has " + std::to_string(regions.size()) + " regions and " +
                                     std::to_string(files.size()) + " files");
  }
  mappings_.reserve(regions.size());
  for (size_t i = 0; i < regions.size(); ++i) {
    const MemoryRegion& added = regions[i];
    const bool twice = std::any_of(mappings_.begin(), mappings_.end(), [&](const Mapping& m) {
      return overlap(m.region().guest_address, m.region().size, added.guest_address, added.size);
    });
    if (twice) throw Error(MVM_ERR_INVALID, "guest memory: two regions of the table overlap");
    mappings_.emplace_back(added, files[i].get());
  }
}

const GuestMemory::Mapping* GuestMemory::find(uint64_t address) const noexcept {
  for (const Mapping& mapping : mappings_) {
    if (contains(mapping.region().guest_address, mapping.region().size, address)) return &mapping;
  }
  return nullptr;
}

bool GuestMemory::resolve(uint64_t address, uint64_t size, std::vector<iovec>& out) const {
  if (wraps(address, size)) return false;
  const size_t before = out.size();
  while (size > 0) {
    const Mapping* mapping = find(address);
    if (mapping == nullptr) {
      out.resize(before);
      return false;
    }
    const uint64_t offset = address - mapping->region().guest_address;
    const uint64_t part = std::min(size, mapping->region().size - offset);
    out.push_back({mapping->at(offset), part});
    address += part;
    size -= part;
  }
  return true;
}

std::byte* GuestMemory::resolve_whole(uint64_t address, uint64_t size) const noexcept {
  const Mapping* mapping = find(address);
  if (mapping == nullptr) return nullptr;
  const uint64_t offset = address - mapping->region().guest_address;
  return size <= mapping->region().size - offset ? mapping->at(offset) : nullptr;
}

std::byte* GuestMemory::resolve_user(uint64_t user_address, uint64_t size) const noexcept {
  for (const Mapping& mapping : mappings_) {
    const MemoryRegion& region = mapping.region();
    if (!contains(region.user_address, region.size, user_address)) continue;
    const uint64_t offset = user_address - region.user_address;
    return size <= region.size - offset ? mapping.at(offset) : nullptr;
  }
  return nullptr;
}

}  // namespace mvm::qemu
