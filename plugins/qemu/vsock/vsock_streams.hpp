// SPDX-License-Identifier: Apache-2.0
// All streams of one guest: which state follows which (virtio 1.2, 5.10.6), what the guest is owed next, and the
// sockets. Knows packets, not rings.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>

#include <boost/intrusive/list.hpp>

#include "vsock/dialer.hpp"
#include "vsock/guest_log.hpp"
#include "vsock/vsock_connection.hpp"
#include "vsock/vsock_limits.hpp"
#include "vsock/vsock_packet.hpp"

namespace mvm::qemu {

class VsockStreams {
 public:
  using OnGuestConnect = std::function<bool(uint32_t port, UniqueFd& fd)>;

  // epoll: where sockets are watched, edge-triggered, with the Connection's address.
  VsockStreams(int epoll, uint64_t guest_cid, const VsockLimits& limits, Timers& timers, GuestLog& log);
  ~VsockStreams();
  VsockStreams(const VsockStreams&) = delete;
  VsockStreams& operator=(const VsockStreams&) = delete;

  void set_dialer(Dialer& dialer) { dialer_ = &dialer; }
  void set_now(TimePoint now) { now_ = now; }
  // [any thread]
  void set_on_guest_connect(OnGuestConnect fn);

  // A packet of the guest's; `parts` are the `bytes` that came after its header.
  void receive(const PacketHeader& header, std::span<iovec> parts, uint64_t bytes);
  // False while so many resets wait for the guest that it has to take some first.
  bool can_receive() const noexcept { return resets_.size() < limits_.max_waiting_resets; }

  // The next packet without data that the guest is owed. Only while there is any.
  bool owes_control() const noexcept { return !resets_.empty() || !control_.empty(); }
  PacketHeader next_control();

  // Whose data is sent next, if anybody has some that the guest can take: in turn.
  Connection* next_reader() noexcept { return data_.empty() ? nullptr : &data_.front(); }
  // Reads for it, which takes it out of the turn; 0 if there was nothing, after all. What was read has to be sent, each
  // packet with its data_header, and then the reader's turn ends.
  uint32_t read(Connection& connection, std::span<iovec> parts);
  void end_turn(Connection& connection) { schedule_data(connection); }
  PacketHeader data_header(Connection& connection, uint32_t len) {
    return connection.header(guest_cid_, PacketOp::rw, len);
  }

  void on_socket(Connection& connection, uint32_t epoll_events);

  Connection& request(Dial& dial);
  void abandon(Connection& attempt);

  // Every stream ends at once; the guest is told nothing.
  void drop_all();

  // Frees those that are gone. Not while their addresses may still come up.
  void sweep() { gone_.clear(); }

  size_t size() const noexcept { return all_.size(); }

 private:
  using State = Connection::State;
  struct Reset {
    Ports ports;
    PacketType type;
  };
  struct KeyHash {
    uint64_t seed;
    size_t operator()(uint64_t key) const noexcept;
  };
  template <class Tag>
  using Queue = boost::intrusive::list<Connection, boost::intrusive::base_hook<AutoHook<Tag>>,
                                       boost::intrusive::constant_time_size<false>>;

  void receive(Connection& connection, const PacketHeader& header, std::span<iovec> parts, uint64_t bytes);
  void receive_open(Connection& connection, const PacketHeader& header, std::span<iovec> parts, uint64_t bytes);
  void receive_connecting(Connection& connection, const PacketHeader& header);
  void receive_closing(Connection& connection, const PacketHeader& header);
  void from_stranger(const PacketHeader& header);
  void accept(Ports ports);
  bool offer(uint32_t port, UniqueFd& stream);
  void establish(Connection& connection);

  void receive_data(Connection& connection, const PacketHeader& header, std::span<iovec> parts, uint64_t bytes);
  void written(Connection& connection, Connection::Wrote result);
  void flush(Connection& connection);
  void guest_shuts(Connection& connection, uint32_t flags);
  void drain(Connection& connection);
  void tell_shutdown(Connection& connection, uint8_t flags);
  void close(Connection& connection);
  void reset(Connection& connection);
  void end(Connection& connection);
  void end_by_guest(Connection& connection);

  Connection& add(Ports ports);
  Connection* find(Ports ports);
  void forget(Connection& connection);
  uint32_t free_host_port(uint32_t guest_port);
  uint32_t buffer_for_next() const;
  void push_reset(Ports ports, PacketType type = PacketType::stream);
  void schedule_control(Connection& connection);
  void schedule_data(Connection& connection);
  void wait_to_write(Connection& connection, bool wait);
  void watch(Connection& connection);
  void close_socket(Connection& connection);
  void note(std::string_view what, const PacketHeader& header);

  const int epoll_;
  const uint64_t guest_cid_;
  const VsockLimits limits_;
  Timers& timers_;
  GuestLog& log_;
  Dialer* dialer_ = nullptr;
  TimePoint now_;

  std::mutex on_guest_connect_mutex_;  // held while it runs: to take it away is to outlast it
  OnGuestConnect on_guest_connect_;

  std::list<Connection> all_;
  std::list<Connection> gone_;
  std::unordered_map<uint64_t, Connection*, KeyHash> by_ports_;
  Queue<ControlTag> control_;
  Queue<DataTag> data_;
  std::deque<Reset> resets_;
  uint64_t promised_bytes_ = 0;
  uint32_t next_host_port_;
  bool limit_was_logged_ = false;
};

}  // namespace mvm::qemu
