// SPDX-License-Identifier: Apache-2.0
#include "guest_server.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "machine.hpp"

namespace mvm::test {

GuestServer::GuestServer(FakeGuest& guest) : guest_(guest) {
  thread_ = std::thread([this] { run(); });
}

GuestServer::~GuestServer() {
  stopping_ = true;
  thread_.join();
}

void GuestServer::run() {
  try {
    while (!stopping_) {
      bool busy = false;
      for (int n = 0; n < 64; ++n) {
        const auto packet = guest_.try_receive();
        if (!packet) break;
        busy = true;
        handle(*packet);
      }
      for (auto it = streams_.begin(); it != streams_.end();) {
        busy = pump(it->second) || busy;
        it = it->second.ended ? streams_.erase(it) : std::next(it);
      }
      if (!busy) guest_.wait_for_interrupt(Queue::rx, milliseconds(5));
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "guest server: %s\n", e.what());
    std::abort();
  }
}

void GuestServer::handle(const Packet& packet) {
  const auto key = std::pair(packet.header.dst_port, packet.header.src_port);
  const auto found = streams_.find(key);
  if (found != streams_.end()) return handle(found->second, packet);
  if (packet.header.op == PacketOp::rst) return;
  const bool known =
      key.first == echo_port || key.first == discard_port || key.first == stalled_port || key.first == generate_port;
  if (packet.header.op != PacketOp::request || !known) return guest_.answer(packet.header, PacketOp::rst);
  Stream& stream = streams_[key];
  stream.guest_port = key.first;
  stream.host_port = key.second;
  stream.peer_buf_alloc = packet.header.buf_alloc;
  stream.peer_fwd_cnt = packet.header.fwd_cnt;
  send(stream, PacketOp::response);
  if (stream.guest_port != generate_port) return;
  stream.out = some_bytes(generated_bytes);
  stream.ends_after_out = true;
}

void GuestServer::handle(Stream& stream, const Packet& packet) {
  stream.peer_buf_alloc = packet.header.buf_alloc;
  stream.peer_fwd_cnt = packet.header.fwd_cnt;
  switch (packet.header.op) {
    case PacketOp::rw:
      return take(stream, packet.data);
    case PacketOp::shutdown:
      return host_ends(stream, packet.header.flags);
    case PacketOp::rst:
      stream.ended = true;
      return;
    case PacketOp::credit_request:
      return send(stream, PacketOp::credit_update);
    default:
      return;
  }
}

void GuestServer::take(Stream& stream, const std::string& data) {
  if (stream.guest_port == stalled_port) return;
  stream.taken += static_cast<uint32_t>(data.size());
  if (stream.guest_port == echo_port) stream.out += data;
  if (stream.guest_port == discard_port) stream.discarded += data.size();
  if (stream.taken - stream.told >= guest_.buf_alloc / 2) send(stream, PacketOp::credit_update);
}

void GuestServer::host_ends(Stream& stream, uint32_t flags) {
  if ((flags & qemu::shutdown_both) == qemu::shutdown_both) {
    send(stream, PacketOp::rst);
    stream.ended = true;
    return;
  }
  if ((flags & qemu::shutdown_send) == 0 || std::exchange(stream.host_ended, true)) return;
  if (stream.guest_port == discard_port) stream.out = std::to_string(stream.discarded) + "\n";
  stream.ends_after_out = stream.guest_port != stalled_port;
}

// True if something was sent.
bool GuestServer::pump(Stream& stream) {
  bool sent = false;
  while (!stream.ended && stream.out_done < stream.out.size()) {
    const uint32_t under_way = stream.sent - stream.peer_fwd_cnt;
    const uint32_t room = under_way < stream.peer_buf_alloc ? stream.peer_buf_alloc - under_way : 0;
    const size_t size = std::min<size_t>({room, FakeGuest::tx_bytes, stream.out.size() - stream.out_done});
    if (size == 0) break;
    send(stream, PacketOp::rw, std::string_view(stream.out).substr(stream.out_done, size));
    stream.sent += static_cast<uint32_t>(size);
    stream.out_done += size;
    most_under_way_ = std::max(most_under_way_.load(), stream.sent - stream.peer_fwd_cnt);
    sent = true;
  }
  if (stream.out_done == stream.out.size()) {
    stream.out.clear();
    stream.out_done = 0;
    if (std::exchange(stream.ends_after_out, false)) send(stream, PacketOp::shutdown, {}, qemu::shutdown_send);
  }
  return sent;
}

void GuestServer::send(Stream& stream, PacketOp op, std::string_view data, uint32_t flags) {
  guest_.fwd_cnt = stream.taken;
  stream.told = stream.taken;
  guest_.transmit(op, stream.guest_port, stream.host_port, data, flags);
}

}  // namespace mvm::test
