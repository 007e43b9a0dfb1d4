// SPDX-License-Identifier: Apache-2.0
#include "vsock/vhost_user.hpp"

#include <cerrno>
#include <string>
#include <utility>

#include <sys/socket.h>

namespace mvm::qemu::vhost {
namespace {

[[noreturn]] void broken(const std::string& what) { throw Error(MVM_ERR_ABI, "vhost-user: " + what); }

// Takes the fds over, also those of a message that is thrown away.
void collect_fds(msghdr& message, std::vector<UniqueFd>& fds) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      fds.emplace_back(fd);
    }
  }
}

}  // namespace

void Message::require(size_t bytes) const {
  if (payload.size() >= bytes) return;
  broken("request " + std::to_string(static_cast<uint32_t>(header.request)) + " has " + std::to_string(payload.size()) +
         " bytes, too few");
}

// False when the rest has not come yet. Reads no further than `size`: fds then come with the message they belong to.
bool Channel::fill(std::byte* to, size_t size, size_t& have) {
  while (have < size) {
    iovec rest{to + have, size - have};
    alignas(cmsghdr) char control[CMSG_SPACE(max_fds * sizeof(int))];
    msghdr message{};
    message.msg_iov = &rest;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) broken(std::string("cannot be read: ") + std::strerror(errno));
    collect_fds(message, incoming_.fds);
    if ((message.msg_flags & MSG_CTRUNC) != 0 || incoming_.fds.size() > max_fds) {
      broken("a message brings more file descriptors than can be taken");
    }
    if (n == 0) throw Error(MVM_ERR_CANCELLED, "vhost-user: QEMU has gone");
    have += static_cast<size_t>(n);
  }
  return true;
}

void Channel::hang_up() const noexcept { ::shutdown(socket_.get(), SHUT_RDWR); }

void Channel::check_header() const {
  const Header& header = incoming_.header;
  if ((header.flags & version_mask) != version) {
    broken("a message has version " + std::to_string(header.flags & version_mask) + ", not 1");
  }
  if ((header.flags & flag_reply) != 0) broken("a message is a reply, but nothing was asked");
  if (header.size > max_payload_bytes) broken("a message of " + std::to_string(header.size) + " bytes is too long");
}

std::optional<Message> Channel::receive() {
  if (!fill(reinterpret_cast<std::byte*>(&incoming_.header), sizeof incoming_.header, header_bytes_)) return {};
  check_header();
  incoming_.payload.resize(incoming_.header.size);
  if (!fill(incoming_.payload.data(), incoming_.payload.size(), payload_bytes_)) return {};
  header_bytes_ = payload_bytes_ = 0;
  return std::exchange(incoming_, {});
}

void Channel::reply(const Message& to, std::span<const std::byte> payload) {
  const Header header{to.header.request, version | flag_reply, static_cast<uint32_t>(payload.size())};
  iovec parts[] = {{const_cast<Header*>(&header), sizeof header},
                   {const_cast<std::byte*>(payload.data()), payload.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const ssize_t n = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n != static_cast<ssize_t>(sizeof header + payload.size())) broken("QEMU does not take a reply");
}

}  // namespace mvm::qemu::vhost
