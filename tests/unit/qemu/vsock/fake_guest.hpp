// SPDX-License-Identifier: Apache-2.0
// QEMU and the guest's vsock driver as the device sees them: a memfd, eventfds, messages over a socketpair, two rings.
// As honest, or not, as the test that drives it.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mvm/hypervisor.hpp"
#include "vsock/vhost_session.hpp"
#include "vsock/vhost_user.hpp"
#include "vsock/vsock_packet.hpp"

namespace mvm::test {

namespace vhost = qemu::vhost;
using qemu::PacketHeader;
using qemu::PacketOp;
using qemu::PacketType;
using qemu::Queue;

constexpr std::chrono::seconds patience{20};  // what happens has happened long before; also under sanitizers

struct Packet {
  PacketHeader header{};
  std::string data;
};

struct Reply {
  vhost::Header header{};
  std::string payload;

  template <class T>
  T read() const {
    T value{};
    std::memcpy(&value, payload.data(), std::min(payload.size(), sizeof value));
    return value;
  }
};

// 2.7.5
struct Descriptor {
  uint64_t address;
  uint32_t len;
  uint16_t flags;
  uint16_t next;
};
constexpr uint16_t next_flag = 1;
constexpr uint16_t write_flag = 2;
constexpr uint16_t indirect_flag = 4;

// A ring's driver side, in memory that the device shares.
class DriverRing {
 public:
  void lay_out(std::byte* at, uint16_t size);
  static size_t bytes(uint16_t size) { return 32 * size_t{size} + 4096; }

  uint16_t size() const { return size_; }
  const std::byte* descriptors() const { return memory_; }
  const std::byte* available() const { return memory_ + 16 * size_t{size_}; }
  const std::byte* used() const { return memory_ + 20 * size_t{size_} + 64; }

  void describe(uint16_t index, const Descriptor& descriptor);
  void offer(uint16_t head);                            // makes a chain available
  std::optional<std::pair<uint32_t, uint32_t>> take();  // a used one: id, len
  bool wants_kick() const;
  void set_no_interrupt(bool on);
  void set_available_index(uint16_t index);  // a lie
  void forget();                             // as a driver that was loaded anew
  uint16_t offered() const { return offered_; }
  uint16_t taken() const { return taken_; }

 private:
  uint16_t& at(const std::byte* base, size_t index) const;

  std::byte* memory_ = nullptr;
  uint16_t size_ = 0;
  uint16_t offered_ = 0;
  uint16_t taken_ = 0;
};

class FakeGuest {
 public:
  static constexpr uint64_t cid = 3;
  static constexpr size_t low_bytes = 8 << 20;  // guest addresses from 0
  static constexpr size_t high_bytes = 8 << 20;
  static constexpr uint64_t high_address = uint64_t{1} << 32;
  static constexpr uint16_t ring_size = 128;
  static constexpr uint16_t slots = ring_size / 2;  // a packet is two descriptors, as Linux 6.1 has it
  static constexpr uint32_t rx_bytes = 4096;
  static constexpr uint32_t tx_bytes = 64 * 1024;

  FakeGuest();

  // The device's end of the socketpair. Once.
  UniqueFd device_end() { return std::move(device_end_); }

  // -- QEMU
  void send(vhost::Request request, std::string_view payload, std::span<const int> fds = {}, uint32_t flags = 0);
  template <class T>
  void send(vhost::Request request, const T& payload, std::span<const int> fds = {}, uint32_t flags = 0) {
    send(request, std::string_view(reinterpret_cast<const char*>(&payload), sizeof payload), fds, flags);
  }
  void send_raw(std::string_view bytes, std::span<const int> fds = {});
  Reply reply();   // fails the test when none comes
  bool hung_up();  // the device has closed its end, or ended; waits
  template <class T>
  uint64_t acknowledged(vhost::Request request, const T& payload, std::span<const int> fds = {}) {
    send(request, payload, fds, vhost::flag_need_reply);
    return reply().read<uint64_t>();
  }
  void close_front_end() { socket_.reset(); }

  void negotiate();  // features, up to the first use of the rings
  std::string memory_table() const;
  int memory_fd() const { return memory_.get(); }
  void share_memory();
  void set_up(Queue queue, uint16_t base);
  void start();                    // both rings, from what they were when they were stopped
  std::array<uint16_t, 2> stop();  // GET_VRING_BASE; returns the bases
  void restart_driver();           // the guest loaded its driver anew; call between stop and start
  void boot() {
    negotiate();
    start();
    fill_rx();
  }

  // -- the driver
  DriverRing& ring(Queue queue) { return rings_[static_cast<size_t>(queue)]; }
  void kick(Queue queue);  // if the device wants it
  void force_kick(Queue queue);
  void fill_rx();  // all free buffers
  std::optional<Packet> try_receive(bool refill = true);
  Packet receive(bool refill = true);  // waits; fails the test when nothing comes
  Packet expect(PacketOp op);          // receive, and no other
  bool wait_for_interrupt(Queue queue, std::chrono::milliseconds time);
  bool broken(std::chrono::milliseconds time);  // the device has reported a ring's fault
  void transmit(const PacketHeader& header, std::string_view data = {});
  void transmit(PacketOp op, uint32_t guest_port, uint32_t host_port, std::string_view data = {}, uint32_t flags = 0);
  std::byte* low(uint64_t address) { return base_ + address; }
  void answer(const PacketHeader& to, PacketOp op, uint32_t flags = 0, std::string_view data = {});

  uint32_t buf_alloc = 256 * 1024;  // what transmit puts into headers
  uint32_t fwd_cnt = 0;

 private:
  void reclaim_tx();
  uint64_t slot_address(Queue queue, uint16_t slot) const;
  std::byte* slot_at(Queue queue, uint16_t slot) const;

  UniqueFd socket_;
  UniqueFd device_end_;
  UniqueFd memory_;
  std::byte* base_ = nullptr;
  std::array<DriverRing, 2> rings_;
  std::array<UniqueFd, 2> kicks_, calls_, errs_;
  std::array<uint16_t, 2> bases_{};
  std::vector<uint16_t> free_rx_, free_tx_;

 public:
  ~FakeGuest();
};

PacketHeader make_header(PacketOp op, uint32_t guest_port, uint32_t host_port);

}  // namespace mvm::test
