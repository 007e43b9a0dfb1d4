// SPDX-License-Identifier: Apache-2.0
// Bytes that lie in several pieces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include <sys/uio.h>

namespace mvm::qemu {

// The parts without their first `bytes`: they are changed in place.
inline std::span<iovec> skip_front(std::span<iovec> parts, size_t bytes) {
  while (!parts.empty() && bytes >= parts.front().iov_len) {
    bytes -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (parts.empty()) return parts;
  parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + bytes;
  parts.front().iov_len -= bytes;
  return parts;
}

// Only their first `bytes`, likewise.
inline std::span<iovec> keep_front(std::span<iovec> parts, uint64_t bytes) {
  size_t count = 0;
  for (; count < parts.size() && bytes > 0; ++count) {
    parts[count].iov_len = std::min<uint64_t>(parts[count].iov_len, bytes);
    bytes -= parts[count].iov_len;
  }
  return parts.first(count);
}

// Copies from the parts' front, or to it, as much as both have.
inline void copy_from(std::span<const iovec> parts, std::span<std::byte> to) {
  for (const iovec& part : parts) {
    const size_t n = std::min(part.iov_len, to.size());
    std::memcpy(to.data(), part.iov_base, n);
    to = to.subspan(n);
  }
}
inline void copy_to(std::span<const iovec> parts, std::span<const std::byte> from) {
  for (const iovec& part : parts) {
    const size_t n = std::min(part.iov_len, from.size());
    std::memcpy(part.iov_base, from.data(), n);
    from = from.subspan(n);
  }
}

}  // namespace mvm::qemu
