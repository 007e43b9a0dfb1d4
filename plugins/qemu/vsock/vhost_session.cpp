// SPDX-License-Identifier: Apache-2.0
#include "vsock/vhost_session.hpp"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace mvm::qemu {

using vhost::Message;
using vhost::Request;

namespace {

constexpr int messages_at_once = 64;

// An eventfd's counter is at its end only if nobody ever read it: it is readable then, which is all that counts.
void signal(const UniqueFd& eventfd) noexcept {
  const uint64_t one = 1;
  if (eventfd) [[maybe_unused]]
    const ssize_t written = ::write(eventfd.get(), &one, sizeof one);
}

UniqueFd take_fd(Message& message) {
  const bool none = (message.read<uint64_t>() & vhost::vring_no_fd) != 0;
  if (none || message.fds.empty()) return {};
  const int flags = ::fcntl(message.fds.front().get(), F_GETFL);
  ::fcntl(message.fds.front().get(), F_SETFL, flags | O_NONBLOCK);  // as QEMU's are: no eventfd makes this thread wait
  return std::move(message.fds.front());
}

}  // namespace

VhostSession::VhostSession(UniqueFd socket, uint64_t guest_cid, uint64_t offer, Listener& listener)
    : channel_(std::move(socket)),
      guest_cid_(guest_cid),
      offer_(offer | vhost::feature_version_1 | vhost::feature_protocol_features),
      listener_(listener) {}

VhostSession::~VhostSession() {
  drop_kick(Queue::rx);
  drop_kick(Queue::tx);
}

void VhostSession::on_readable() {
  for (int n = 0; n < messages_at_once; ++n) {
    auto message = channel_.receive();
    if (!message) return;
    on_message(std::move(*message));
  }
}

void VhostSession::on_message(Message message) {
  const Answer answer = handle(message);
  if (answer == Answer::refused) {
    listener_.note("vhost-user: request " + std::to_string(static_cast<uint32_t>(message.header.request)) +
                   " of QEMU's was refused");
  }
  if (answer == Answer::none || !reply_ack_ || !message.needs_reply()) return;
  channel_.reply(message, uint64_t{answer == Answer::ok ? 0u : 1u});
}

VhostSession::Answer VhostSession::handle(Message& message) {
  switch (message.header.request) {
    case Request::get_features:
      return get_features(message);
    case Request::set_features:
      return set_features(message);
    case Request::get_protocol_features:
      channel_.reply(message, vhost::protocol_reply_ack | vhost::protocol_config);
      return Answer::none;
    case Request::set_protocol_features:
      return set_protocol_features(message);
    case Request::get_queue_num:
      channel_.reply(message, uint64_t{queue_count});
      return Answer::none;
    case Request::get_config:
      return get_config(message);
    case Request::set_owner:
    case Request::reset_owner:  // "deprecated, ... should be ignored"
      return Answer::ok;
    case Request::set_mem_table:
      return set_memory(message);
    case Request::set_vring_num:
      return set_size(message);
    case Request::set_vring_addr:
      return set_addresses(message);
    case Request::set_vring_base:
      return set_base(message);
    case Request::get_vring_base:
      return get_base(message);
    case Request::set_vring_kick:
      return set_kick(message);
    case Request::set_vring_call:
      return set_call(message);
    case Request::set_vring_err:
      return set_err(message);
    case Request::set_vring_enable:
      return set_enable(message);
  }
  return Answer::refused;
}

VhostSession::Answer VhostSession::get_features(const Message& message) {
  channel_.reply(message, offer_);
  return Answer::none;
}

// QEMU hands on all that the guest chose, also what is between the two of them (vhost_vsock_common_start).
VhostSession::Answer VhostSession::set_features(const Message& message) {
  const auto chosen = message.read<uint64_t>();
  if ((chosen & vhost::feature_ring_packed) != 0) return Answer::refused;
  if (std::exchange(features_, chosen) == chosen) return Answer::ok;
  for (Ring& ring : rings_) {
    ring.queue.set_features({.event_index = (chosen & vhost::feature_event_idx) != 0,
                             .indirect = (chosen & vhost::feature_indirect_desc) != 0});
    ring.started = false;
    // "If PROTOCOL_FEATURES has not been negotiated, the ring starts directly in the enabled state."
    if ((chosen & vhost::feature_protocol_features) == 0) ring.enabled = true;
  }
  return Answer::ok;
}

VhostSession::Answer VhostSession::set_protocol_features(const Message& message) {
  reply_ack_ = (message.read<uint64_t>() & vhost::protocol_reply_ack) != 0;
  return Answer::ok;
}

// struct virtio_vsock_config is the CID and nothing else. An empty answer says that there is no such range.
VhostSession::Answer VhostSession::get_config(const Message& message) {
  const auto asked = message.read<vhost::ConfigHeader>();
  if (asked.offset > sizeof guest_cid_ || asked.size > sizeof guest_cid_ - asked.offset) {
    channel_.reply(message, std::span<const std::byte>{});
    return Answer::none;
  }
  std::array<std::byte, sizeof asked + sizeof guest_cid_> answer{};
  std::memcpy(answer.data(), &asked, sizeof asked);
  std::memcpy(answer.data() + sizeof asked, reinterpret_cast<const std::byte*>(&guest_cid_) + asked.offset, asked.size);
  channel_.reply(message, std::span<const std::byte>(answer.data(), sizeof asked + asked.size));
  return Answer::none;
}

VhostSession::Answer VhostSession::set_memory(Message& message) {
  const auto head = message.read<vhost::MemoryTableHeader>();
  if (head.regions > GuestMemory::max_regions) return Answer::refused;
  std::vector<MemoryRegion> regions(head.regions);
  message.require(sizeof head + head.regions * sizeof(MemoryRegion));
  for (size_t i = 0; i < regions.size(); ++i) {
    // guest address, size, user address, offset: the message's order is the struct's
    static_assert(sizeof(MemoryRegion) == 32 && offsetof(MemoryRegion, user_address) == 16);
    regions[i] = message.read<MemoryRegion>(sizeof head + i * sizeof(MemoryRegion));
  }
  for (Ring& ring : rings_) ring.queue.unresolve();
  memory_ = {};
  try {
    memory_ = GuestMemory(regions, message.fds);
  } catch (const Error& e) {
    listener_.note(e.what());
    return Answer::refused;
  }
  resolve_again();
  return Answer::ok;
}

void VhostSession::resolve_again() {
  for (Ring& ring : rings_) {
    if (ring.started && !ring.queue.broken() && !ring.queue.resolve(memory_)) {
      ring.queue.fail("the ring is not in the memory that QEMU now shares");
    }
  }
}

VhostSession::Ring* VhostSession::ring_at(uint64_t index) noexcept {
  return index < queue_count ? &rings_[index] : nullptr;
}

// A ring that runs is stopped by GET_VRING_BASE before it is changed.
VhostSession::Answer VhostSession::set_size(const Message& message) {
  const auto state = message.read<vhost::VringState>();
  Ring* ring = ring_at(state.index);
  if (ring == nullptr || ring->started) return Answer::refused;
  return ring->queue.set_size(state.num) ? Answer::ok : Answer::refused;
}

VhostSession::Answer VhostSession::set_addresses(const Message& message) {
  const auto state = message.read<vhost::VringAddress>();
  Ring* ring = ring_at(state.index);
  if (ring == nullptr || ring->started) return Answer::refused;
  ring->queue.set_addresses({state.descriptors, state.available, state.used});
  return Answer::ok;
}

// A pause goes on where it stopped; a driver that was loaded anew begins at 0.
VhostSession::Answer VhostSession::set_base(const Message& message) {
  const auto state = message.read<vhost::VringState>();
  Ring* ring = ring_at(state.index);
  if (ring == nullptr || ring->started || state.num > UINT16_MAX) return Answer::refused;
  const auto base = static_cast<uint16_t>(state.num);
  if (ring->returned_base && *ring->returned_base != base) listener_.driver_reset();
  ring->returned_base.reset();
  ring->queue.set_base(base);
  ring->fault_taken = false;
  return Answer::ok;
}

VhostSession::Answer VhostSession::get_base(const Message& message) {
  const auto state = message.read<vhost::VringState>();
  Ring* ring = ring_at(state.index);
  if (ring == nullptr) throw Error(MVM_ERR_ABI, "vhost-user: QEMU asks for the state of a ring that there isn't");
  ring->started = false;
  ring->queue.unresolve();
  ring->returned_base = ring->queue.base();
  drop_kick(static_cast<Queue>(state.index));
  channel_.reply(message, vhost::VringState{state.index, ring->queue.base()});
  return Answer::none;
}

void VhostSession::drop_kick(Queue queue) noexcept {
  UniqueFd& kick = ring(queue).kick;
  if (!kick) return;
  listener_.kick_removed(queue, kick.get());
  kick.reset();
}

// "Starts a ring": by the time QEMU sends it, size, addresses and base are known.
VhostSession::Answer VhostSession::set_kick(Message& message) {
  const uint64_t index = message.read<uint64_t>() & vhost::vring_index_mask;
  Ring* ring = ring_at(index);
  UniqueFd fd = take_fd(message);
  if (ring == nullptr || !fd) return Answer::refused;  // polled rings aren't ours
  drop_kick(static_cast<Queue>(index));
  if (!start(*ring) || !listener_.kick_added(static_cast<Queue>(index), fd.get())) return Answer::refused;
  ring->kick = std::move(fd);
  return Answer::ok;
}

bool VhostSession::start(Ring& ring) {
  if (ring.started) return true;
  ring.started = ring.queue.resolve(memory_);
  return ring.started;
}

VhostSession::Answer VhostSession::set_call(Message& message) {
  Ring* ring = ring_at(message.read<uint64_t>() & vhost::vring_index_mask);
  if (ring == nullptr) return Answer::refused;
  ring->call = take_fd(message);
  // What was signalled on the fd before this one may not have been seen.
  if (ring->started) signal(ring->call);
  return Answer::ok;
}

VhostSession::Answer VhostSession::set_err(Message& message) {
  Ring* ring = ring_at(message.read<uint64_t>() & vhost::vring_index_mask);
  if (ring == nullptr) return Answer::refused;
  ring->err = take_fd(message);
  return Answer::ok;
}

VhostSession::Answer VhostSession::set_enable(const Message& message) {
  const auto state = message.read<vhost::VringState>();
  Ring* ring = ring_at(state.index);
  if (ring == nullptr || state.num > 1) return Answer::refused;
  ring->enabled = state.num == 1;
  return Answer::ok;
}

bool VhostSession::driver_up() const noexcept {
  return std::all_of(rings_.begin(), rings_.end(),
                     [](const Ring& ring) { return ring.started && ring.enabled && ring.queue.ready(); });
}

void VhostSession::interrupt(Queue queue) const noexcept { signal(ring(queue).call); }

std::string_view VhostSession::take_fault(Queue queue) noexcept {
  Ring& broken = ring(queue);
  if (!broken.queue.broken() || std::exchange(broken.fault_taken, true)) return {};
  signal(broken.err);
  return broken.queue.fault();
}

}  // namespace mvm::qemu
