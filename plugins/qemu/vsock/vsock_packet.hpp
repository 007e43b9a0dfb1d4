// SPDX-License-Identifier: Apache-2.0
// The packets of virtio-vsock: virtio 1.2, section 5.10.6.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace mvm::qemu {

// Everything in guest memory is little-endian, and so is every machine that this plugin boots guests on.
static_assert(std::endian::native == std::endian::little, "virtio fields are read as they lie in memory");

constexpr uint64_t host_cid = 2;  // VMADDR_CID_HOST

enum class PacketType : uint16_t { stream = 1, seqpacket = 2 };

enum class PacketOp : uint16_t {
  invalid = 0,
  request = 1,
  response = 2,
  rst = 3,
  shutdown = 4,
  rw = 5,
  credit_update = 6,
  credit_request = 7,
};

// What the sender of a SHUTDOWN will do no more (PacketHeader::flags). They never come back.
constexpr uint32_t shutdown_receive = 1;
constexpr uint32_t shutdown_send = 2;
constexpr uint32_t shutdown_both = shutdown_receive | shutdown_send;

struct __attribute__((packed)) PacketHeader {
  uint64_t src_cid;
  uint64_t dst_cid;
  uint32_t src_port;
  uint32_t dst_port;
  uint32_t len;
  PacketType type;
  PacketOp op;
  uint32_t flags;
  uint32_t buf_alloc;  // how much the sender of this packet buffers for the stream
  uint32_t fwd_cnt;    // how much of it its application has taken so far, modulo 2^32
};
static_assert(sizeof(PacketHeader) == 44);
static_assert(offsetof(PacketHeader, len) == 24 && offsetof(PacketHeader, fwd_cnt) == 40);

}  // namespace mvm::qemu
