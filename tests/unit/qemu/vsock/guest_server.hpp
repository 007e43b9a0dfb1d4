// SPDX-License-Identifier: Apache-2.0
// An honest guest on a thread of its own: a driver and a vsock stack that keeps to its credit, with a few services.
//   7   sends back what it gets; ends when the host does
//   9   takes everything, and answers the host's end with the number of bytes, as a line
//   11  accepts, and never reads
//   19  sends `generated_bytes` of some_bytes, and ends
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "fake_guest.hpp"

namespace mvm::test {

constexpr uint32_t echo_port = 7, discard_port = 9, stalled_port = 11, generate_port = 19;
constexpr size_t generated_bytes = 2 << 20;

class GuestServer {
 public:
  // Nobody else uses the guest while this lives.
  explicit GuestServer(FakeGuest& guest);
  ~GuestServer();

  // The most that it has ever had under way on one stream beyond what the host had freed.
  uint32_t most_under_way() const { return most_under_way_; }

 private:
  struct Stream {
    uint32_t guest_port = 0;
    uint32_t host_port = 0;
    std::string out;
    size_t out_done = 0;
    uint32_t sent = 0;
    uint32_t peer_buf_alloc = 0;
    uint32_t peer_fwd_cnt = 0;
    uint32_t taken = 0;
    uint32_t told = 0;
    uint64_t discarded = 0;
    bool host_ended = false;
    bool ends_after_out = false;
    bool ended = false;
  };

  void run();
  void handle(const Packet& packet);
  void handle(Stream& stream, const Packet& packet);
  void take(Stream& stream, const std::string& data);
  void host_ends(Stream& stream, uint32_t flags);
  bool pump(Stream& stream);
  void send(Stream& stream, PacketOp op, std::string_view data = {}, uint32_t flags = 0);

  FakeGuest& guest_;
  std::map<std::pair<uint32_t, uint32_t>, Stream> streams_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint32_t> most_under_way_{0};
  std::thread thread_;
};

}  // namespace mvm::test
