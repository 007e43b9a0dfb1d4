// SPDX-License-Identifier: Apache-2.0
#include "disk/disk_copy.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/parse.hpp"
#include "disk/disk_clone.hpp"

namespace mvm::host {
namespace {

namespace fs = std::filesystem;

struct Extent {
  off_t begin = 0;
  off_t end = 0;
};

struct Source {
  fs::path path;
  UniqueFd fd;
  struct stat info {};

  off_t size() const { return info.st_size; }
};

tl::unexpected<Error> write_error(const fs::path& to, int error) {
  if (error == ENOSPC || error == EDQUOT) {
    return fail(ErrorKind::failed, "{}: {}; nothing was left behind; free some space, or use a directory elsewhere",
                to.string(), error == ENOSPC ? "no space left on its file system" : "the disk quota is used up");
  }
  if (error == EFBIG) {
    return fail(ErrorKind::failed, "{}: is beyond what one file may have here (see ulimit -f); nothing was left behind",
                to.string());
  }
  return fail(ErrorKind::failed, "{}: cannot be written: {}", to.string(), errno_words(error));
}

tl::unexpected<Error> changed_error(const Source& from) {
  return fail(ErrorKind::failed, "{}: was written while it was copied; end what writes it and try again",
              from.path.string());
}

// The file that becomes the copy. Until it is `kept` it goes with this.
class PartialFile {
 public:
  PartialFile(fs::path path, UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  PartialFile(PartialFile&& other) noexcept : path_(std::exchange(other.path_, {})), fd_(std::move(other.fd_)) {}
  PartialFile& operator=(PartialFile&&) = delete;
  ~PartialFile() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  int fd() const { return fd_.get(); }
  const fs::path& path() const { return path_; }
  void keep() { path_.clear(); }

 private:
  fs::path path_;
  UniqueFd fd_;
};

Result<Source> open_source(const fs::path& path) {
  Source source{path, open_file(path, O_RDONLY | O_NONBLOCK)};
  if (!source.fd) {
    const int error = errno;
    return fail(ErrorKind::invalid, "{}: {}", path.string(),
                error == ENOENT   ? "no such file"
                : error == EACCES ? "may not be read by this user; change its permissions"
                                  : errno_words(error));
  }
  if (::fstat(source.fd.get(), &source.info) != 0) {
    return fail(ErrorKind::invalid, "{}: {}", path.string(), errno_words(errno));
  }
  if (S_ISBLK(source.info.st_mode)) {
    return fail(ErrorKind::invalid,
                "{}: is a block device, and only an image file is copied; use it itself with --rootfs-mode direct or "
                "readonly",
                path.string());
  }
  if (!S_ISREG(source.info.st_mode)) {
    return fail(ErrorKind::invalid, "{}: is {}; only an image file can be copied", path.string(),
                S_ISDIR(source.info.st_mode) ? "a directory" : "not a regular file");
  }
  return source;
}

Result<void> check_target(const fs::path& to, bool replace) {
  struct stat found {};
  if (replace || ::lstat(to.c_str(), &found) != 0) return {};
  return fail(ErrorKind::failed, "{}: exists already; remove it first, or use another name", to.string());
}

// Removes what a killed copy left. One that is still at work holds the lock on its file.
Result<void> remove_leftover(const fs::path& partial) {
  const UniqueFd old = open_file(partial, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (old && ::flock(old.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return fail(ErrorKind::failed, "{}: another copy is being made; wait for its end", partial.string());
  }
  if (::unlink(partial.c_str()) == 0 || errno == ENOENT) return {};
  return fail(ErrorKind::failed, "{}: is in the way of a copy and cannot be removed: {}", partial.string(),
              errno_words(errno));
}

struct Made {
  PartialFile file;
  CopyMethod method;
};

Result<Made> make_partial(const Source& from, const fs::path& to) {
  fs::path path = to;
  path += ".partial";
  MVM_CHECK(remove_leftover(path));
  CopyMethod method = CopyMethod::clone;
  UniqueFd fd = clone_file(from.fd.get(), path);
  if (!fd) {
    method = CopyMethod::extents;
    fd = open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  }
  if (!fd) return write_error(to, errno);
  ::flock(fd.get(), LOCK_EX | LOCK_NB);
  return Made{PartialFile(std::move(path), std::move(fd)), method};
}

// Where the data is. A file system that cannot tell says that all of it is data.
std::vector<Extent> data_extents(const Source& from) {
  std::vector<Extent> extents;
  for (off_t at = 0; at < from.size();) {
    const off_t begin = ::lseek(from.fd.get(), at, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return extents;  // a hole to the end
    const off_t end = begin < 0 ? -1 : ::lseek(from.fd.get(), begin, SEEK_HOLE);
    if (end <= begin) return {{0, from.size()}};
    extents.push_back({std::min(begin, from.size()), std::min(end, from.size())});
    at = end;
  }
  return extents;
}

// At most 20 times a second.
class ProgressMeter {
 public:
  ProgressMeter(const CopyProgress& report, uint64_t total_bytes) : report_(report), total_bytes_(total_bytes) {}

  void add(uint64_t bytes) {
    done_bytes_ += bytes;
    const auto now = Clock::now();
    if (!report_ || now < next_) return;
    next_ = now + std::chrono::milliseconds(50);
    report_(done_bytes_, total_bytes_);
  }
  void finish() const {
    if (report_) report_(done_bytes_, total_bytes_);
  }
  uint64_t done_bytes() const { return done_bytes_; }

 private:
  using Clock = std::chrono::steady_clock;
  const CopyProgress& report_;
  uint64_t total_bytes_;
  uint64_t done_bytes_ = 0;
  Clock::time_point next_ = Clock::now() + std::chrono::milliseconds(50);
};

class ExtentCopier {
 public:
  ExtentCopier(const Source& from, const PartialFile& partial, const fs::path& to, ProgressMeter& meter)
      : from_(from), partial_(partial), to_(to), meter_(meter) {}

  Result<void> copy(Extent extent) {
    while (extent.begin < extent.end) {
      MVM_TRY(const off_t moved, copy_some(extent));
      extent.begin += moved;
      meter_.add(static_cast<uint64_t>(moved));
    }
    return {};
  }

 private:
  static constexpr off_t kernel_step_bytes = 16 * 1024 * 1024;  // progress, and room for signals, between two
  static constexpr size_t buffer_bytes = 1024 * 1024;

  Result<off_t> copy_some(Extent extent) {
    if (!in_kernel_) return copy_buffered(extent);
    const auto size = static_cast<size_t>(std::min(extent.end - extent.begin, kernel_step_bytes));
    const ssize_t n = copy_in_kernel(from_.fd.get(), partial_.fd(), extent.begin, size);
    if (n > 0) return n;
    if (n < 0 && errno == EINTR) return 0;
    if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)) return write_error(to_, errno);
    // Not between these two file systems, or not at all; 0 is what some answer instead (the real end of the file is
    // found by read).
    in_kernel_ = false;
    return copy_buffered(extent);
  }

  Result<off_t> copy_buffered(Extent extent) {
    buffer_.resize(buffer_bytes);
    const auto size = std::min(static_cast<size_t>(extent.end - extent.begin), buffer_.size());
    const ssize_t got = ::pread(from_.fd.get(), buffer_.data(), size, extent.begin);
    if (got < 0 && errno == EINTR) return 0;
    if (got < 0) return fail(ErrorKind::failed, "{}: cannot be read: {}", from_.path.string(), errno_words(errno));
    if (got == 0) return changed_error(from_);
    const ssize_t put = ::pwrite(partial_.fd(), buffer_.data(), static_cast<size_t>(got), extent.begin);
    if (put < 0 && errno == EINTR) return 0;
    if (put < 0) return write_error(to_, errno);
    return put;
  }

  const Source& from_;
  const PartialFile& partial_;
  const fs::path& to_;
  ProgressMeter& meter_;
  bool in_kernel_ = true;
  std::vector<char> buffer_;
};

// Whoever wrote the image meanwhile left a copy of no one moment.
bool has_changed(const Source& from) {
  struct stat now {};
  if (::fstat(from.fd.get(), &now) != 0 || now.st_size != from.info.st_size) return true;
#if defined(__APPLE__)
  const auto& was = from.info.st_mtimespec;
  const auto& is = now.st_mtimespec;
#else
  const auto& was = from.info.st_mtim;
  const auto& is = now.st_mtim;
#endif
  return was.tv_sec != is.tv_sec || was.tv_nsec != is.tv_nsec;
}

Result<uint64_t> copy_extents(const Source& from, const PartialFile& partial, const fs::path& to,
                              const CopyProgress& progress) {
  if (::ftruncate(partial.fd(), from.size()) != 0) return write_error(to, errno);
  const std::vector<Extent> extents = data_extents(from);
  uint64_t total = 0;
  for (const auto& e : extents) total += static_cast<uint64_t>(e.end - e.begin);
  ProgressMeter meter(progress, total);
  ExtentCopier copier(from, partial, to, meter);
  for (const auto& e : extents) MVM_CHECK(copier.copy(e));
  if (has_changed(from)) return changed_error(from);
  meter.finish();
  return meter.done_bytes();
}

Result<void> sync_directory(const fs::path& to) {
  const fs::path parent = to.has_parent_path() ? to.parent_path() : fs::path(".");
  const UniqueFd directory = open_file(parent, O_RDONLY | O_DIRECTORY);
  // EINVAL: a file system that has nothing to sync there.
  if (directory && (::fsync(directory.get()) == 0 || errno == EINVAL)) return {};
  return write_error(to, errno);
}

Result<void> publish(PartialFile partial, const fs::path& to, bool replace) {
  if (::fsync(partial.fd()) != 0) return write_error(to, errno);
  MVM_CHECK(check_target(to, replace));
  if (::rename(partial.path().c_str(), to.c_str()) != 0) return write_error(to, errno);
  partial.keep();
  return sync_directory(to);
}

}  // namespace

Result<CopyReport> copy_disk(const fs::path& from, const fs::path& to, bool replace, const CopyProgress& progress) {
  MVM_TRY(const Source source, open_source(from));
  MVM_CHECK(check_target(to, replace));
  MVM_TRY(Made made, make_partial(source, to));
  CopyReport report{made.method, static_cast<uint64_t>(source.size()), 0};
  if (made.method == CopyMethod::extents) {
    MVM_TRY(report.copied_bytes, copy_extents(source, made.file, to, progress));
  } else if (progress) {
    progress(0, 0);
  }
  MVM_CHECK(publish(std::move(made.file), to, replace));
  return report;
}

}  // namespace mvm::host
