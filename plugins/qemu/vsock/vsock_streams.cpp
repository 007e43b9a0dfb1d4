// SPDX-License-Identifier: Apache-2.0
#include "vsock/vsock_streams.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "vsock/iovecs.hpp"

namespace mvm::qemu {
namespace {

// Ours begin above those that guests pick by themselves for services: 0xffffffff is "any".
constexpr uint32_t first_host_port = 0x4000'0000;
constexpr uint32_t last_host_port = 0xffff'fffe;

uint64_t key_of(Ports ports) { return uint64_t{ports.guest} << 32 | ports.host; }

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

struct StreamPair {
  UniqueFd ours;
  UniqueFd theirs;
};

StreamPair make_stream_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    throw Error(MVM_ERR_INTERNAL, std::string("no socket pair can be made: ") + std::strerror(errno));
  }
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void shut(const Connection& connection, int how) {
  if (connection.socket) ::shutdown(connection.socket.get(), how);
}

}  // namespace

// SplitMix64's finalizer, with a seed: the guest picks the keys, and must not be able to pick their order.
size_t VsockStreams::KeyHash::operator()(uint64_t key) const noexcept {
  uint64_t z = key ^ seed;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

VsockStreams::VsockStreams(int epoll, uint64_t guest_cid, const VsockLimits& limits, Timers& timers, GuestLog& log)
    : epoll_(epoll),
      guest_cid_(guest_cid),
      limits_(limits),
      timers_(timers),
      log_(log),
      by_ports_(16, KeyHash{random_seed()}),
      next_host_port_(first_host_port) {}

VsockStreams::~VsockStreams() {
  for (Connection& connection : all_) close_socket(connection);
}

void VsockStreams::set_on_guest_connect(OnGuestConnect fn) {
  const std::lock_guard lock(on_guest_connect_mutex_);
  on_guest_connect_ = std::move(fn);
}

void VsockStreams::note(std::string_view what, const PacketHeader& header) {
  log_.log_limited(now_, MVM_LOG_WARN,
                   "vsock port " + std::to_string(header.dst_port) + ": " + std::string(what) + " (guest port " +
                       std::to_string(header.src_port) + ")");
}

// ---- packets of the guest's

void VsockStreams::receive(const PacketHeader& header, std::span<iovec> parts, uint64_t bytes) {
  if (header.src_cid != guest_cid_ || header.dst_cid != host_cid) {
    return note("the guest sent a packet that is not from its CID, or not to the host's; dropped", header);
  }
  if (header.type != PacketType::stream) return push_reset({header.src_port, header.dst_port}, header.type);
  Connection* connection = find({header.src_port, header.dst_port});
  if (connection == nullptr) return from_stranger(header);
  receive(*connection, header, parts, bytes);
}

void VsockStreams::receive(Connection& connection, const PacketHeader& header, std::span<iovec> parts, uint64_t bytes) {
  connection.heard(header);
  switch (connection.state) {
    case State::connecting:
      return receive_connecting(connection, header);
    case State::open:
      receive_open(connection, header, parts, bytes);
      return schedule_data(connection);
    case State::closing:
      return receive_closing(connection, header);
    case State::draining:
    case State::gone:
      return;  // not found by their ports any more
  }
}

void VsockStreams::receive_connecting(Connection& connection, const PacketHeader& header) {
  switch (header.op) {
    case PacketOp::response:
      return establish(connection);
    case PacketOp::rst:
      return end_by_guest(connection);
    default:
      note("the guest answered a connect with something that is no answer; reset", header);
      push_reset(connection.ports);
      return end_by_guest(connection);
  }
}

void VsockStreams::receive_open(Connection& connection, const PacketHeader& header, std::span<iovec> parts,
                                uint64_t bytes) {
  switch (header.op) {
    case PacketOp::rw:
      return receive_data(connection, header, parts, bytes);
    case PacketOp::shutdown:
      return guest_shuts(connection, header.flags);
    case PacketOp::rst:
      return end_by_guest(connection);
    case PacketOp::credit_request:
      connection.due.credit_update = true;
      return schedule_control(connection);
    case PacketOp::credit_update:
      return;
    case PacketOp::request:
    case PacketOp::response:
      note("the guest opened a connection that is open already; reset", header);
      return reset(connection);
    default:  // as Linux does with what it doesn't know
      return note("the guest sent a packet of an unknown operation; dropped", header);
  }
}

void VsockStreams::receive_closing(Connection& connection, const PacketHeader& header) {
  switch (header.op) {
    case PacketOp::rst:
      return end(connection);
    case PacketOp::shutdown:
      if ((header.flags & shutdown_both) == shutdown_both) reset(connection);
      return;
    case PacketOp::request:
      return reset(connection);
    default:  // was under way when the host closed
      return;
  }
}

void VsockStreams::from_stranger(const PacketHeader& header) {
  const Ports ports{header.src_port, header.dst_port};
  if (header.op == PacketOp::request) return accept(ports);
  if (header.op != PacketOp::rst) push_reset(ports);
}

// ---- opening

void VsockStreams::accept(Ports ports) {
  try {
    if (all_.size() >= limits_.max_connections) {
      if (!std::exchange(limit_was_logged_, true)) {
        log_.log(MVM_LOG_WARN, "vsock: the guest has " + std::to_string(all_.size()) +
                                   " connections; more are refused, and this is not said again");
      }
      return push_reset(ports);
    }
    StreamPair pair = make_stream_pair();
    if (!offer(ports.host, pair.theirs)) return push_reset(ports);
    Connection& connection = add(ports);
    connection.socket = std::move(pair.ours);
    connection.state = State::open;
    connection.due.response = true;
    watch(connection);
    schedule_control(connection);
  } catch (const std::exception& e) {
    log_.log_limited(now_, MVM_LOG_WARN, "vsock port " + std::to_string(ports.host) + ": " + e.what());
    if (Connection* begun = find(ports)) end(*begun);
    push_reset(ports);
  }
}

bool VsockStreams::offer(uint32_t port, UniqueFd& stream) {
  const std::lock_guard lock(on_guest_connect_mutex_);
  return on_guest_connect_ && on_guest_connect_(port, stream);
}

Connection& VsockStreams::request(Dial& dial) {
  if (all_.size() >= limits_.max_connections) {
    throw Error(MVM_ERR_BUSY, std::to_string(all_.size()) + " connections are open, and no more can be");
  }
  Connection& connection = add({dial.port, free_host_port(dial.port)});
  connection.dial = &dial;
  connection.due.request = true;
  schedule_control(connection);
  return connection;
}

// The guest answered.
void VsockStreams::establish(Connection& connection) {
  Dial& dial = *std::exchange(connection.dial, nullptr);
  UniqueFd theirs;
  try {
    StreamPair pair = make_stream_pair();
    connection.socket = std::move(pair.ours);
    connection.state = State::open;
    watch(connection);
    theirs = std::move(pair.theirs);
  } catch (const Error& e) {
    reset(connection);
    return dialer_->failed(dial, e);
  }
  dialer_->answered(dial, std::move(theirs));
}

// A guest that never saw the request need not hear that it is off.
void VsockStreams::abandon(Connection& attempt) {
  attempt.dial = nullptr;
  attempt.request_sent ? reset(attempt) : end(attempt);
}

// Counts up, so that the same ports meet again as late as possible.
uint32_t VsockStreams::free_host_port(uint32_t guest_port) {
  uint32_t port = 0;
  do {
    port = next_host_port_;
    next_host_port_ = port == last_host_port ? first_host_port : port + 1;
  } while (find({guest_port, port}) != nullptr);
  return port;
}

uint32_t VsockStreams::buffer_for_next() const {
  const uint64_t left = limits_.buffers_bytes - std::min(limits_.buffers_bytes, promised_bytes_);
  return static_cast<uint32_t>(std::clamp<uint64_t>(left / 16, limits_.min_buffer_bytes, limits_.buffer_bytes));
}

Connection& VsockStreams::add(Ports ports) {
  Connection& connection = all_.emplace_back(ports, buffer_for_next());
  connection.self = std::prev(all_.end());
  promised_bytes_ += connection.buffer_bytes();
  try {
    by_ports_.emplace(key_of(ports), &connection);
  } catch (...) {
    end(connection);
    throw;
  }
  return connection;
}

Connection* VsockStreams::find(Ports ports) {
  const auto found = by_ports_.find(key_of(ports));
  return found == by_ports_.end() ? nullptr : found->second;
}

// ---- from the guest

void VsockStreams::receive_data(Connection& connection, const PacketHeader& header, std::span<iovec> parts,
                                uint64_t bytes) {
  if (header.len > bytes) {
    note("the guest sent a packet that is longer than its buffers; reset", header);
    return reset(connection);
  }
  if ((connection.guest_done & shutdown_send) != 0) {
    note("the guest sent more after it had said that there is no more; reset", header);
    return reset(connection);
  }
  if (header.len == 0) return;
  if ((connection.host_done & shutdown_receive) != 0) {
    connection.discard(header.len);  // was under way
    return written(connection, Connection::Wrote::all);
  }
  written(connection, connection.write(keep_front(parts, header.len), header.len));
}

void VsockStreams::written(Connection& connection, Connection::Wrote result) {
  switch (result) {
    case Connection::Wrote::all:
      break;
    case Connection::Wrote::some:
      wait_to_write(connection, true);
      break;
    case Connection::Wrote::refused:
      connection.discard_held();
      return connection.state == State::draining ? end(connection) : tell_shutdown(connection, shutdown_receive);
    case Connection::Wrote::overrun:
      log_.log_limited(now_, MVM_LOG_WARN,
                       "vsock port " + std::to_string(connection.ports.host) +
                           ": the guest sent more than it had credit for; reset");
      return reset(connection);
    case Connection::Wrote::failed:
      return connection.state == State::draining ? end(connection) : reset(connection);
  }
  if (connection.state != State::open || !connection.owes_credit()) return;
  connection.due.credit_update = true;
  schedule_control(connection);
}

void VsockStreams::flush(Connection& connection) {
  const Connection::Wrote result = connection.flush();
  if (result == Connection::Wrote::all) {
    wait_to_write(connection, false);
    if (connection.state == State::draining) return end(connection);
    if ((connection.guest_done & shutdown_send) != 0) shut(connection, SHUT_WR);
  }
  written(connection, result);
}

void VsockStreams::guest_shuts(Connection& connection, uint32_t flags) {
  connection.guest_done |= static_cast<uint8_t>(flags & shutdown_both);
  if ((connection.guest_done & shutdown_receive) != 0) shut(connection, SHUT_RD);
  if (connection.guest_done == shutdown_both) return drain(connection);
  if (connection.guest_done == shutdown_send && !connection.holds_bytes()) shut(connection, SHUT_WR);
}

// The guest is done both ways: it gets its confirmation now, the host's reader what is still held.
void VsockStreams::drain(Connection& connection) {
  push_reset(connection.ports);
  forget(connection);
  if (!connection.holds_bytes() || connection.hung_up) return end(connection);
  connection.state = State::draining;
}

void VsockStreams::end_by_guest(Connection& connection) {
  Dial* dial = std::exchange(connection.dial, nullptr);
  end(connection);
  if (dial != nullptr) dialer_->refused(*dial);
}

// ---- from the host

void VsockStreams::on_socket(Connection& connection, uint32_t epoll_events) {
  if (connection.state == State::draining) {
    return (epoll_events & (EPOLLHUP | EPOLLERR)) != 0 ? end(connection) : flush(connection);
  }
  if (connection.state != State::open) return;
  if ((epoll_events & EPOLLOUT) != 0 && connection.waits_to_write) flush(connection);
  if (connection.state != State::open) return;
  if ((epoll_events & EPOLLHUP) != 0) connection.hung_up = true;
  if ((epoll_events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) connection.readable = true;
  // Where nothing is read any more, no end of file will be found.
  const bool reads_no_more = ((connection.guest_done & shutdown_receive) | (connection.host_done & shutdown_send)) != 0;
  if (connection.hung_up && reads_no_more) return tell_shutdown(connection, shutdown_both);
  schedule_data(connection);
}

uint32_t VsockStreams::read(Connection& connection, std::span<iovec> parts) {
  const ssize_t n = connection.read(parts);
  const int error = errno;
  connection.AutoHook<DataTag>::unlink();
  if (n > 0) return static_cast<uint32_t>(n);
  connection.readable = false;
  if (n == 0) {
    tell_shutdown(connection, connection.hung_up ? shutdown_both : shutdown_send);
  } else if (error != EAGAIN && error != EWOULDBLOCK) {
    reset(connection);  // ECONNRESET: closed with something unread
  }
  return 0;
}

void VsockStreams::tell_shutdown(Connection& connection, uint8_t flags) {
  if ((connection.host_done | flags) == connection.host_done) return;
  connection.host_done |= flags;
  if ((connection.host_done & shutdown_receive) != 0) connection.discard_held();
  if (connection.host_done == shutdown_both) close_socket(connection);
  connection.due.shutdown = true;
  schedule_control(connection);
}

// The guest was told; it confirms with a reset.
void VsockStreams::close(Connection& connection) {
  connection.state = State::closing;
  connection.close_timer.set(timers_, now_ + limits_.close_timeout, [this, &connection] { reset(connection); });
}

// ---- to the guest

PacketHeader VsockStreams::next_control() {
  if (!resets_.empty()) {
    const Reset reset = resets_.front();
    resets_.pop_front();
    return {.src_cid = host_cid,
            .dst_cid = guest_cid_,
            .src_port = reset.ports.host,
            .dst_port = reset.ports.guest,
            .len = 0,
            .type = reset.type,
            .op = PacketOp::rst,
            .flags = 0,
            .buf_alloc = 0,
            .fwd_cnt = 0};
  }
  Connection& connection = control_.front();
  const PacketHeader header = connection.next_due(guest_cid_);
  if (!connection.due.any()) control_.pop_front();
  if (header.op == PacketOp::shutdown && connection.host_done == shutdown_both) close(connection);
  return header;
}

void VsockStreams::push_reset(Ports ports, PacketType type) { resets_.push_back({ports, type}); }

void VsockStreams::schedule_control(Connection& connection) {
  if (!connection.AutoHook<ControlTag>::is_linked()) control_.push_back(connection);
}

void VsockStreams::schedule_data(Connection& connection) {
  if (connection.state != State::open || !connection.readable || connection.AutoHook<DataTag>::is_linked()) return;
  if (((connection.guest_done & shutdown_receive) | (connection.host_done & shutdown_send)) != 0) return;
  if (connection.guest_room() > 0) {
    connection.asked_for_credit = false;
    data_.push_back(connection);
  } else if (!std::exchange(connection.asked_for_credit, true)) {
    connection.due.credit_request = true;
    schedule_control(connection);
  }
}

// ---- the end

void VsockStreams::reset(Connection& connection) {
  push_reset(connection.ports);
  end(connection);
}

void VsockStreams::forget(Connection& connection) {
  const auto found = by_ports_.find(key_of(connection.ports));
  if (found != by_ports_.end() && found->second == &connection) by_ports_.erase(found);
  connection.AutoHook<ControlTag>::unlink();
  connection.AutoHook<DataTag>::unlink();
}

// Its memory stays until the sweep: events of it may be at hand.
void VsockStreams::end(Connection& connection) {
  forget(connection);
  close_socket(connection);
  connection.close_timer.cancel();
  connection.discard_held();
  connection.state = State::gone;
  promised_bytes_ -= connection.buffer_bytes();
  gone_.splice(gone_.end(), all_, connection.self);
}

void VsockStreams::drop_all() {
  resets_.clear();
  std::vector<Dial*> lost;
  while (!all_.empty()) {
    Connection& connection = all_.front();
    if (connection.dial != nullptr) lost.push_back(std::exchange(connection.dial, nullptr));
    end(connection);
  }
  for (Dial* dial : lost) dialer_->lost(*dial);
}

// ---- sockets

constexpr uint32_t always_watched = EPOLLIN | EPOLLRDHUP | EPOLLET;

void VsockStreams::watch(Connection& connection) {
  epoll_event event{};
  event.events = always_watched;
  event.data.ptr = &connection;
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.socket.get(), &event) != 0) {
    throw Error(MVM_ERR_INTERNAL, std::string("its socket cannot be watched: ") + std::strerror(errno));
  }
}

// Room to write is watched only while something waits for it: every read of the other side's would wake us.
void VsockStreams::wait_to_write(Connection& connection, bool wait) {
  if (std::exchange(connection.waits_to_write, wait) == wait) return;
  epoll_event event{};
  event.events = always_watched | (wait ? static_cast<uint32_t>(EPOLLOUT) : 0u);
  event.data.ptr = &connection;
  ::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket.get(), &event);
}

// Explicitly out of the epoll set: a child that is just being spawned may hold the socket's file for a moment longer.
void VsockStreams::close_socket(Connection& connection) {
  if (!connection.socket) return;
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, connection.socket.get(), nullptr);
  connection.socket.reset();
  connection.waits_to_write = false;
}

}  // namespace mvm::qemu
