// SPDX-License-Identifier: Apache-2.0
// The messages of vhost-user, as a back end receives and answers them: QEMU's docs/interop/vhost-user.rst.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu::vhost {

// Requests of the front end that this device answers; there are others, which it refuses.
enum class Request : uint32_t {
  get_features = 1,
  set_features = 2,
  set_owner = 3,
  reset_owner = 4,
  set_mem_table = 5,
  set_vring_num = 8,
  set_vring_addr = 9,
  set_vring_base = 10,
  get_vring_base = 11,
  set_vring_kick = 12,
  set_vring_call = 13,
  set_vring_err = 14,
  get_protocol_features = 15,
  set_protocol_features = 16,
  get_queue_num = 17,
  set_vring_enable = 18,
  get_config = 24,
};

constexpr uint64_t feature_indirect_desc = uint64_t{1} << 28;
constexpr uint64_t feature_event_idx = uint64_t{1} << 29;
constexpr uint64_t feature_protocol_features = uint64_t{1} << 30;
constexpr uint64_t feature_version_1 = uint64_t{1} << 32;
constexpr uint64_t feature_ring_packed = uint64_t{1} << 34;

constexpr uint64_t protocol_reply_ack = uint64_t{1} << 3;
constexpr uint64_t protocol_config = uint64_t{1} << 9;

constexpr uint32_t version_mask = 0x3;
constexpr uint32_t version = 0x1;
constexpr uint32_t flag_reply = 1u << 2;
constexpr uint32_t flag_need_reply = 1u << 3;

struct Header {
  Request request;
  uint32_t flags;
  uint32_t size;  // of what follows
};
static_assert(sizeof(Header) == 12);

struct VringState {
  uint32_t index;
  uint32_t num;
};

struct VringAddress {
  uint32_t index;
  uint32_t flags;
  uint64_t descriptors;
  uint64_t used;
  uint64_t available;
  uint64_t log;
};
static_assert(sizeof(VringAddress) == 40);

// SET_VRING_KICK, _CALL and _ERR: the ring's number, and whether no fd comes along.
constexpr uint64_t vring_index_mask = 0xff;
constexpr uint64_t vring_no_fd = 0x100;

struct MemoryTableHeader {
  uint32_t regions;
  uint32_t padding;
};

struct ConfigHeader {
  uint32_t offset;
  uint32_t size;
  uint32_t flags;
};

constexpr size_t max_payload_bytes = 4096;
constexpr size_t max_fds = 8;

struct Message {
  Header header{};
  std::vector<std::byte> payload;
  std::vector<UniqueFd> fds;

  bool needs_reply() const noexcept { return (header.flags & flag_need_reply) != 0; }

  // The payload's bytes from `offset` as a T. Throws mvm::Error, which ends the device, when it is too short.
  template <class T>
  T read(size_t offset = 0) const {
    static_assert(std::is_trivially_copyable_v<T>);
    require(offset + sizeof(T));
    T value;
    std::memcpy(&value, payload.data() + offset, sizeof value);
    return value;
  }
  void require(size_t bytes) const;
};

// One end of the conversation. Never waits.
class Channel {
 public:
  explicit Channel(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const noexcept { return socket_.get(); }
  void hang_up() const noexcept;

  // The next message that has come in whole, if any. Throws mvm::Error when the front end has gone, or sends what
  // cannot be a message: the stream is then of no further use.
  std::optional<Message> receive();

  // Throws mvm::Error when the front end does not take it.
  void reply(const Message& to, std::span<const std::byte> payload);
  template <class T>
  void reply(const Message& to, const T& payload) {
    reply(to, std::as_bytes(std::span(&payload, 1)));
  }

 private:
  bool fill(std::byte* to, size_t size, size_t& have);
  void check_header() const;

  UniqueFd socket_;
  Message incoming_;
  size_t header_bytes_ = 0;
  size_t payload_bytes_ = 0;
};

}  // namespace mvm::qemu::vhost
