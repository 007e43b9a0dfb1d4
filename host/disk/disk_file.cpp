// SPDX-License-Identifier: Apache-2.0
#include "disk/disk_file.hpp"

#include <array>
#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {
namespace {

std::string why_not_opened(int error, bool writable) {
  switch (error) {
    case ENOENT:
      return "no such file";
    case EACCES:
    case EPERM:
      return writable ? "may not be written by this user; change its permissions, or use it read-only"
                      : "may not be read by this user; change its permissions";
    case EROFS:
      return "is on a read-only file system; use it read-only, or copy it";
    default:
      return errno_words(error);
  }
}

Result<UniqueFd> open_disk(const std::filesystem::path& path, bool writable) {
  struct stat info {};
  // Before it is opened: a directory opened for writing says something less clear, and a fifo may wait.
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode)) {
    return fail(ErrorKind::invalid, "{}: is {}; a disk is an image file or a block device", path.string(),
                S_ISDIR(info.st_mode) ? "a directory" : "neither a file nor a disk");
  }
  UniqueFd fd = open_file(path, (writable ? O_RDWR : O_RDONLY) | O_NONBLOCK);
  if (!fd) return fail(ErrorKind::invalid, "{}: {}", path.string(), why_not_opened(errno, writable));
  return fd;
}

// The first four bytes, or fewer.
Result<std::string> read_magic(const std::filesystem::path& path, bool writable) {
  MVM_TRY(const UniqueFd fd, open_disk(path, writable));
  std::array<char, 4> magic{};
  const ssize_t n = ::pread(fd.get(), magic.data(), magic.size(), 0);
  if (n < 0) return fail(ErrorKind::invalid, "{}: cannot be read: {}", path.string(), errno_words(errno));
  if (n == 0) return fail(ErrorKind::invalid, "{}: is empty; a disk image is expected", path.string());
  return std::string(magic.data(), static_cast<size_t>(n));
}

}  // namespace

Result<void> check_disk(const std::filesystem::path& path, bool writable) {
  MVM_CHECK(read_magic(path, writable));
  return {};
}

Result<v1::DiskFormat> format_by_name(const std::filesystem::path& path) {
  MVM_TRY(const std::string magic, read_magic(path, false));
  const bool named = path.extension() == ".qcow2";
  const bool is = magic == "QFI\xfb";
  if (named && !is) return fail(ErrorKind::invalid, "{}: is named .qcow2 and is no qcow2 image", path.string());
  if (is && !named) {
    return fail(ErrorKind::invalid,
                "{}: begins as a qcow2 image does, and is not named so: name it {}.qcow2 if that is what it is",
                path.string(), path.stem().string());
  }
  return is ? v1::DISK_FORMAT_QCOW2 : v1::DISK_FORMAT_RAW;
}

Result<UniqueFd> lock_disk(const std::filesystem::path& path, bool writable) {
  MVM_TRY(UniqueFd fd, open_disk(path, writable));
  if (::flock(fd.get(), (writable ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return fd;
  const int error = errno;
  if (error == EWOULDBLOCK) {
    return fail(ErrorKind::failed, "{}: is in use by another VM{}; stop that one first, or use a copy of the image",
                path.string(), writable ? "" : ", which writes it");
  }
  return fail(ErrorKind::failed, "{}: cannot be locked: {}; copy it to a local file system", path.string(),
              errno_words(error));
}

Result<void> put_empty_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) {
    if (open_file(path, O_WRONLY | O_CREAT | O_EXCL)) return {};
  }
  return fail(ErrorKind::failed, "{}: cannot be made: {}", path.string(), errno_words(errno));
}

}  // namespace mvm::host
