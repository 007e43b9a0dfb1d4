// SPDX-License-Identifier: Apache-2.0
#include "vsock/byte_ring.hpp"

#include <algorithm>
#include <cstring>

namespace mvm::qemu {

void ByteRing::append(std::span<const iovec> parts, size_t skip) {
  if (bytes_ == nullptr) bytes_.reset(new std::byte[capacity_]);
  for (const iovec& part : parts) {
    const size_t skipped = std::min(skip, part.iov_len);
    skip -= skipped;
    append(static_cast<const std::byte*>(part.iov_base) + skipped, part.iov_len - skipped);
  }
}

void ByteRing::append(const std::byte* from, size_t size) noexcept {
  const size_t end = (size_t{begin_} + size_) % capacity_;
  const size_t first = std::min(size, capacity_ - end);
  std::memcpy(bytes_.get() + end, from, first);
  std::memcpy(bytes_.get(), from + first, size - first);
  size_ += static_cast<uint32_t>(size);
}

std::array<iovec, 2> ByteRing::pieces() const noexcept {
  const uint32_t first = std::min(size_, capacity_ - begin_);
  return {iovec{bytes_.get() + begin_, first}, iovec{bytes_.get(), size_ - first}};
}

void ByteRing::consume(uint32_t bytes) noexcept {
  size_ -= bytes;
  begin_ = static_cast<uint32_t>((size_t{begin_} + bytes) % capacity_);
  if (size_ > 0) return;
  begin_ = 0;
  bytes_.reset();
}

}  // namespace mvm::qemu
