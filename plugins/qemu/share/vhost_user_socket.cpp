// SPDX-License-Identifier: Apache-2.0
#include "share/vhost_user_socket.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace mvm::qemu {
namespace {

constexpr const char* socket_name = "virtiofsd.sock";

// The vhost-user specification, "Header": in the byte order of the machine.
struct Header {
  uint32_t request;
  uint32_t flags;
  uint32_t size;  // of what follows
};
static_assert(sizeof(Header) == 12);
constexpr uint32_t get_features = 1;
constexpr uint32_t version_1 = 0x1;
constexpr uint32_t reply = 0x4;

[[noreturn]] void throw_errno(const std::string& subject, const char* what) {
  const int error = errno;
  throw Error(MVM_ERR_INTERNAL, subject + ": " + what + ": " + std::strerror(error));
}

UniqueFd unix_socket(const std::string& directory) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) throw_errno(directory, "no socket can be made");
  return fd;
}

// A name below a descriptor: a socket's address holds 108 bytes, and paths can be longer.
sockaddr_un address_in(int directory) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(directory) + "/" + socket_name;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

VhostUserSockets make_vhost_user_sockets(const std::string& directory) {
  const UniqueFd dir(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir) throw_errno(directory, "no socket can be made there");
  VhostUserSockets sockets{unix_socket(directory), unix_socket(directory)};
  const sockaddr_un address = address_in(dir.get());
  const auto* const as_sockaddr = reinterpret_cast<const sockaddr*>(&address);
  ::unlinkat(dir.get(), socket_name, 0);  // of a process that was killed between here and the end of this function
  if (::bind(sockets.listening.get(), as_sockaddr, sizeof address) != 0) throw_errno(directory, "bind");
  const bool connected =
      ::listen(sockets.listening.get(), 1) == 0 && ::connect(sockets.front_end.get(), as_sockaddr, sizeof address) == 0;
  const int error = errno;
  ::unlinkat(dir.get(), socket_name, 0);
  errno = error;
  if (!connected) throw_errno(directory, "connect");
  return sockets;
}

VhostUserGreeting::VhostUserGreeting(boost::asio::io_context& loop, UniqueFd front_end,
                                     std::function<void(UniqueFd)> answered)
    : front_end_(loop, front_end.release()), answered_(std::move(answered)) {
  const Header request{get_features, version_1, 0};
  // A new connection takes twelve bytes; and if the daemon is gone already, there is somebody else to tell.
  ::send(front_end_.native_handle(), &request, sizeof request, MSG_NOSIGNAL);
  wait();
}

void VhostUserGreeting::wait() {
  front_end_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                        [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& failed) {
                          if (!failed && !alive.expired()) receive();
                        });
}

void VhostUserGreeting::receive() {
  const ssize_t n =
      ::recv(front_end_.native_handle(), answer_.data() + received_, answer_.size() - received_, MSG_DONTWAIT);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return;
  if (n > 0) received_ += static_cast<size_t>(n);
  if (received_ < answer_.size()) return wait();
  if (!is_answer()) return;
  front_end_.native_non_blocking(false);
  const auto answered = std::move(answered_);  // which may destroy this
  answered(UniqueFd(front_end_.release()));
}

bool VhostUserGreeting::is_answer() const noexcept {
  Header header{};
  std::memcpy(&header, answer_.data(), sizeof header);
  return header.request == get_features && header.flags == (version_1 | reply) &&
         header.size == answer_bytes - sizeof header;
}

}  // namespace mvm::qemu
