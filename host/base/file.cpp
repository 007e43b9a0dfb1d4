// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace mvm::host {
namespace {

int64_t nanoseconds(const timespec& t) { return int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec; }

// The bytes are on their way to the disk before what follows is: a rename that survives a power cut then finds them.
// Journals keep that order (XFS, ext4, APFS), so the wait for a commit of the journal, which fsync is, can be spared.
bool write_out_first(int fd) {
#if defined(__linux__)
  constexpr unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  if (::sync_file_range(fd, 0, 0, all) == 0) return true;
  if (errno != ENOSYS && errno != EINVAL && errno != ESPIPE) return false;
#elif defined(F_BARRIERFSYNC)
  if (::fcntl(fd, F_BARRIERFSYNC) == 0) return true;
#endif
  return ::fsync(fd) == 0;
}

bool make_durable(int fd, Durability durability) {
  switch (durability) {
    case Durability::none:
      return true;
    case Durability::ordered:
      return write_out_first(fd);
    case Durability::synced:
      return ::fsync(fd) == 0;
  }
  return false;
}

}  // namespace

std::string errno_words(int error) { return std::generic_category().message(error); }

UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

Result<std::string> read_file(const std::filesystem::path& path, size_t max_bytes) {
  const UniqueFd fd = open_file(path, O_RDONLY);
  if (!fd) {
    const int error = errno;
    return fail(error == ENOENT ? ErrorKind::not_found : ErrorKind::failed, "{}: {}", path.string(),
                errno_words(error));
  }
  std::string text;
  struct stat s {};
  // A file in /proc says 0, and one that grows meanwhile is read to its end all the same.
  if (::fstat(fd.get(), &s) == 0 && s.st_size > 0) text.reserve(std::min(static_cast<size_t>(s.st_size), max_bytes));
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
    if (n == 0) return text;
    text.append(buffer, static_cast<size_t>(n));
    if (text.size() > max_bytes)
      return fail(ErrorKind::failed, "{}: is larger than {} bytes", path.string(), max_bytes);
  }
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

Result<void> replace_file(const std::filesystem::path& path, std::string_view bytes, Durability durability) {
  const std::filesystem::path temporary = path.string() + ".new";
  const auto failed = [&](int error) {
    ::unlink(temporary.c_str());
    return fail(ErrorKind::failed, "{}: cannot be written: {}", path.string(), errno_words(error));
  };
  ::unlink(temporary.c_str());  // one that a killed process left
  UniqueFd fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!fd || !write_all(fd.get(), bytes)) return failed(errno);
  if (!make_durable(fd.get(), durability)) return failed(errno);
  if (::close(fd.release()) != 0) return failed(errno);
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed(errno);
  if (durability == Durability::synced) {
    const UniqueFd directory = open_file(path.parent_path(), O_RDONLY | O_DIRECTORY);
    if (directory) ::fsync(directory.get());
  }
  return {};
}

#if defined(__APPLE__)
int64_t modified_ns(const struct stat& s) { return nanoseconds(s.st_mtimespec); }
int64_t changed_ns(const struct stat& s) { return nanoseconds(s.st_ctimespec); }
#else
int64_t modified_ns(const struct stat& s) { return nanoseconds(s.st_mtim); }
int64_t changed_ns(const struct stat& s) { return nanoseconds(s.st_ctim); }
#endif

Result<void> own_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  const int error = errno;
  if (error != EEXIST) return fail(ErrorKind::failed, "{}: cannot be made: {}", path.string(), errno_words(error));
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
  if (S_ISLNK(s.st_mode) && ::stat(path.c_str(), &s) != 0) {
    return fail(ErrorKind::failed, "{}: is a link that leads nowhere", path.string());
  }
  if (!S_ISDIR(s.st_mode)) return fail(ErrorKind::failed, "{}: is not a directory", path.string());
  if (s.st_uid != ::geteuid()) {
    return fail(ErrorKind::failed, "{}: belongs to user {}, not to you (user {}): choose another directory",
                path.string(), s.st_uid, ::geteuid());
  }
  if ((s.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return fail(ErrorKind::failed, "{}: is writable by others (mode {:o}): chmod go-w it", path.string(),
                s.st_mode & 07777);
  }
  return {};
}

bool is_racy(int64_t changed_ns) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return now - std::chrono::nanoseconds(changed_ns) <= racy_time;
}

bool peer_is_us(int fd) {
#if defined(__linux__)
  struct ucred peer {};
  socklen_t size = sizeof peer;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  const uid_t uid = peer.uid;
#else
  uid_t uid = 0;
  gid_t gid = 0;
  if (::getpeereid(fd, &uid, &gid) != 0) return false;
#endif
  return uid == ::geteuid() || uid == 0;
}

pid_t peer_pid(int fd) {
#if defined(__linux__)
  struct ucred peer {};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
#else
  pid_t pid = 0;
  socklen_t size = sizeof pid;
  return ::getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &pid, &size) == 0 ? pid : 0;
#endif
}

}  // namespace mvm::host
