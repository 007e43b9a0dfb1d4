// SPDX-License-Identifier: Apache-2.0
#include "base/local_socket.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {
namespace {

UniqueFd local_socket() {
#if defined(SOCK_CLOEXEC)
  return UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
#else
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  if (fd) {
    const int on = 1;
    ::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    ::setsockopt(fd.get(), SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
  }
  return fd;
#endif
}

bool fill(sockaddr_un& address, const std::filesystem::path& path) {
  if (path.native().size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  return true;
}

}  // namespace

Result<UniqueFd> listen_local(const std::filesystem::path& path) {
  const auto failed = [&](int error) {
    return fail(ErrorKind::failed, "{}: cannot listen there: {}", path.string(), errno_words(error));
  };
  struct stat s {};
  if (::lstat(path.c_str(), &s) == 0) {
    if (!S_ISSOCK(s.st_mode)) return failed(EEXIST);
    ::unlink(path.c_str());
  }
  sockaddr_un address{};
  UniqueFd fd = local_socket();
  if (!fd || !fill(address, path)) return failed(errno);
  // Between bind and listen nobody can connect, so the mode is in force in time.
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), 1024) != 0) {
    return failed(errno);
  }
  return fd;
}

UniqueFd connect_local(const std::filesystem::path& path) {
  sockaddr_un address{};
  UniqueFd fd = local_socket();
  if (!fd || !fill(address, path)) return UniqueFd();
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    fd.reset();
    errno = error;
  }
  return fd;
}

}  // namespace mvm::host
