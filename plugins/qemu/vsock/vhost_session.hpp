// SPDX-License-Identifier: Apache-2.0
// What QEMU has told the device so far: features, memory, and the two rings with their eventfds.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "vsock/guest_memory.hpp"
#include "vsock/vhost_user.hpp"
#include "vsock/virtqueue.hpp"

namespace mvm::qemu {

enum class Queue : unsigned { rx = 0, tx = 1 };  // as the driver sees it: rx is towards the guest
constexpr unsigned queue_count = 2;              // the event queue stays with QEMU

class VhostSession {
 public:
  // Who is told, from within on_message.
  class Listener {
   public:
    // A kick eventfd to be watched, and the same before it is closed. It may be a file that cannot be watched: false.
    virtual bool kick_added(Queue queue, int fd) = 0;
    virtual void kick_removed(Queue queue, int fd) noexcept = 0;
    // The guest's driver starts anew: what it knew of connections is gone.
    virtual void driver_reset() = 0;
    virtual void note(std::string_view what) = 0;  // something odd that is survived

   protected:
    ~Listener() = default;
  };

  // offer: virtio features besides VERSION_1.
  VhostSession(UniqueFd socket, uint64_t guest_cid, uint64_t offer, Listener& listener);
  ~VhostSession();
  VhostSession(const VhostSession&) = delete;
  VhostSession& operator=(const VhostSession&) = delete;

  int fd() const noexcept { return channel_.fd(); }

  // Handles what has come in, up to a bound. Throws mvm::Error when the conversation is over, with the reason.
  void on_readable();

  // Ends the conversation: QEMU must not wait for answers that will not come.
  void hang_up() const noexcept { channel_.hang_up(); }

  // Both rings are set up, enabled and not broken.
  bool driver_up() const noexcept;
  Virtqueue& queue(Queue queue) noexcept { return ring(queue).queue; }

  void interrupt(Queue queue) const noexcept;  // tells the driver of used chains
  // Why a ring is broken, and tells QEMU; once for each time, otherwise empty.
  std::string_view take_fault(Queue queue) noexcept;

 private:
  struct Ring {
    Virtqueue queue;
    UniqueFd kick, call, err;
    bool enabled = false;
    bool started = false;
    bool fault_taken = false;
    std::optional<uint16_t> returned_base;
  };

  enum class Answer { none, ok, refused };

  void on_message(vhost::Message message);
  Answer handle(vhost::Message& message);
  Answer get_features(const vhost::Message& message);
  Answer set_features(const vhost::Message& message);
  Answer set_protocol_features(const vhost::Message& message);
  Answer get_config(const vhost::Message& message);
  Answer set_memory(vhost::Message& message);
  Answer set_size(const vhost::Message& message);
  Answer set_addresses(const vhost::Message& message);
  Answer set_base(const vhost::Message& message);
  Answer get_base(const vhost::Message& message);
  Answer set_kick(vhost::Message& message);
  Answer set_call(vhost::Message& message);
  Answer set_err(vhost::Message& message);
  Answer set_enable(const vhost::Message& message);

  Ring& ring(Queue queue) noexcept { return rings_[static_cast<unsigned>(queue)]; }
  const Ring& ring(Queue queue) const noexcept { return rings_[static_cast<unsigned>(queue)]; }
  Ring* ring_at(uint64_t index) noexcept;
  void drop_kick(Queue queue) noexcept;
  bool start(Ring& ring);
  void resolve_again();

  vhost::Channel channel_;
  const uint64_t guest_cid_;
  const uint64_t offer_;
  Listener& listener_;
  bool reply_ack_ = false;
  std::optional<uint64_t> features_;
  GuestMemory memory_;
  std::array<Ring, queue_count> rings_;
};

}  // namespace mvm::qemu
