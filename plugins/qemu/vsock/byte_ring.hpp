// SPDX-License-Identifier: Apache-2.0
// A bounded queue of bytes that has no memory while it is empty.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <sys/uio.h>

namespace mvm::qemu {

class ByteRing {
 public:
  explicit ByteRing(uint32_t capacity) : capacity_(capacity) {}

  bool empty() const noexcept { return size_ == 0; }
  uint32_t size() const noexcept { return size_; }
  uint32_t room() const noexcept { return capacity_ - size_; }

  // Copies the parts' bytes from `skip` on, which have to fit.
  void append(std::span<const iovec> parts, size_t skip);

  // What is held, oldest first; the second piece may be empty.
  std::array<iovec, 2> pieces() const noexcept;
  void consume(uint32_t bytes) noexcept;
  void clear() noexcept { consume(size_); }

 private:
  void append(const std::byte* from, size_t size) noexcept;

  const uint32_t capacity_;
  uint32_t begin_ = 0;
  uint32_t size_ = 0;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace mvm::qemu
