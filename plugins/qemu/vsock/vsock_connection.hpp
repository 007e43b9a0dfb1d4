// SPDX-License-Identifier: Apache-2.0
// One stream between a port of the guest and one of the host: its credit both ways, its end of a socketpair, and what
// is owed to the guest. Which state follows which is VsockStreams' business.
#pragma once

#include <cstdint>
#include <list>
#include <span>

#include <sys/types.h>
#include <sys/uio.h>
#include <boost/intrusive/list_hook.hpp>

#include "mvm/hypervisor.hpp"
#include "vsock/byte_ring.hpp"
#include "vsock/timers.hpp"
#include "vsock/vsock_packet.hpp"

namespace mvm::qemu {

struct Dial;

struct Ports {
  uint32_t guest;
  uint32_t host;
};

struct ControlTag;
struct DataTag;
template <class Tag>
using AutoHook = boost::intrusive::list_base_hook<boost::intrusive::tag<Tag>,
                                                  boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

class Connection : public AutoHook<ControlTag>, public AutoHook<DataTag> {
 public:
  enum class State : uint8_t {
    connecting,  // a REQUEST of ours is under way
    open,
    closing,   // the host is done; the guest has yet to confirm
    draining,  // the guest is done and knows nothing of it any more; the host still reads what came before
    gone,
  };

  Connection(Ports both, uint32_t buffer_bytes) : ports(both), buffer_bytes_(buffer_bytes), held_(buffer_bytes) {}

  const Ports ports;
  State state = State::connecting;
  Dial* dial = nullptr;  // while connecting
  std::list<Connection>::iterator self;
  Timers::Timer close_timer;

  // -- credit (5.10.6.3), all modulo 2^32
  void heard(const PacketHeader& header) noexcept;
  uint32_t guest_room() const noexcept;  // bytes that the guest can take now
  bool owes_credit() const noexcept;     // enough was freed for the guest to be told
  uint32_t buffer_bytes() const noexcept { return buffer_bytes_; }

  // The header of a packet that is now sent to the guest; with `len` bytes that were read for it.
  PacketHeader header(uint64_t guest_cid, PacketOp op, uint32_t len = 0) noexcept;

  // -- guest to host
  enum class Wrote {
    all,      // the socket has everything
    some,     // the rest is held, and waits for the socket
    refused,  // nobody reads there any more
    overrun,  // more than the guest had credit for
    failed,
  };
  Wrote write(std::span<iovec> parts, uint32_t bytes);
  Wrote flush();
  void discard(uint32_t bytes) noexcept { fwd_count_ += bytes; }
  void discard_held() noexcept;
  bool holds_bytes() const noexcept { return !held_.empty(); }

  // -- host to guest: recvmsg(2)
  ssize_t read(std::span<iovec> parts) noexcept;

  // What the guest is owed, in the order in which it is sent.
  struct Due {
    bool request = false;
    bool response = false;
    bool credit_update = false;
    bool credit_request = false;
    bool shutdown = false;
    bool any() const noexcept { return request || response || credit_request || credit_update || shutdown; }
  };
  Due due;
  // The next of these; only while there is any.
  PacketHeader next_due(uint64_t guest_cid) noexcept;

  UniqueFd socket;
  bool request_sent = false;
  bool readable = false;  // the socket may have something to read
  bool hung_up = false;   // nobody is at its other end
  bool waits_to_write = false;
  bool asked_for_credit = false;
  uint8_t host_done = 0;    // shutdown_... that the guest is told
  uint8_t guest_done = 0;   // shutdown_... that the guest has told
  uint8_t chains_hint = 1;  // how many chains the next read is worth

 private:
  uint32_t sent_count_ = 0;
  uint32_t guest_buf_alloc_ = 0;
  uint32_t guest_fwd_count_ = 0;
  uint32_t fwd_count_ = 0;
  uint32_t told_fwd_count_ = 0;
  const uint32_t buffer_bytes_;
  ByteRing held_;
};

}  // namespace mvm::qemu
