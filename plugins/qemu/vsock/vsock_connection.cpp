// SPDX-License-Identifier: Apache-2.0
#include "vsock/vsock_connection.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include <sys/socket.h>

namespace mvm::qemu {
namespace {

ssize_t send_parts(int fd, std::span<iovec> parts) noexcept {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = std::min<size_t>(parts.size(), IOV_MAX);
  while (true) {
    const ssize_t n = ::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0 || errno != EINTR) return n;
  }
}

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK; }

Connection::Wrote failure() { return errno == EPIPE ? Connection::Wrote::refused : Connection::Wrote::failed; }

}  // namespace

void Connection::heard(const PacketHeader& header) noexcept {
  guest_buf_alloc_ = header.buf_alloc;
  guest_fwd_count_ = header.fwd_cnt;
}

// A guest that has shrunk its buffer, or lies, has less room than is under way: none.
uint32_t Connection::guest_room() const noexcept {
  const uint32_t under_way = sent_count_ - guest_fwd_count_;
  return under_way < guest_buf_alloc_ ? guest_buf_alloc_ - under_way : 0;
}

bool Connection::owes_credit() const noexcept { return fwd_count_ - told_fwd_count_ >= buffer_bytes_ / 2; }

PacketHeader Connection::header(uint64_t guest_cid, PacketOp op, uint32_t len) noexcept {
  sent_count_ += len;
  told_fwd_count_ = fwd_count_;
  if (op == PacketOp::rw || op == PacketOp::credit_update) due.credit_update = false;
  return {.src_cid = host_cid,
          .dst_cid = guest_cid,
          .src_port = ports.host,
          .dst_port = ports.guest,
          .len = len,
          .type = PacketType::stream,
          .op = op,
          .flags = op == PacketOp::shutdown ? host_done : 0u,
          .buf_alloc = buffer_bytes_,
          .fwd_cnt = fwd_count_};
}

PacketHeader Connection::next_due(uint64_t guest_cid) noexcept {
  if (std::exchange(due.request, false)) {
    request_sent = true;
    return header(guest_cid, PacketOp::request);
  }
  if (std::exchange(due.response, false)) return header(guest_cid, PacketOp::response);
  if (due.credit_update) return header(guest_cid, PacketOp::credit_update);
  if (std::exchange(due.credit_request, false)) return header(guest_cid, PacketOp::credit_request);
  due.shutdown = false;
  return header(guest_cid, PacketOp::shutdown);
}

// Straight from guest memory into the socket; only what that does not take is copied.
Connection::Wrote Connection::write(std::span<iovec> parts, uint32_t bytes) {
  if (bytes > held_.room()) return Wrote::overrun;
  size_t sent = 0;
  if (held_.empty()) {
    const ssize_t n = send_parts(socket.get(), parts);
    if (n < 0 && !would_block()) return failure();
    sent = n < 0 ? 0 : static_cast<size_t>(n);
    fwd_count_ += static_cast<uint32_t>(sent);
  }
  if (sent == bytes) return Wrote::all;
  held_.append(parts, sent);
  return Wrote::some;
}

Connection::Wrote Connection::flush() {
  while (!held_.empty()) {
    auto pieces = held_.pieces();
    const ssize_t n = send_parts(socket.get(), pieces);
    if (n < 0) return would_block() ? Wrote::some : failure();
    held_.consume(static_cast<uint32_t>(n));
    fwd_count_ += static_cast<uint32_t>(n);
  }
  return Wrote::all;
}

void Connection::discard_held() noexcept {
  fwd_count_ += held_.size();
  held_.clear();
}

ssize_t Connection::read(std::span<iovec> parts) noexcept {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = std::min<size_t>(parts.size(), IOV_MAX);
  while (true) {
    const ssize_t n = ::recvmsg(socket.get(), &message, MSG_DONTWAIT);
    if (n >= 0 || errno != EINTR) return n;
  }
}

}  // namespace mvm::qemu
