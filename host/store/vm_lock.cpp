// SPDX-License-Identifier: Apache-2.0
#include "store/vm_lock.hpp"

#include <cerrno>
#include <charconv>
#include <csignal>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/process.hpp"

namespace mvm::host {
namespace {

// Interrupts a blocking flock every now and then, so that it ends at its deadline.
class AlarmScope {
 public:
  AlarmScope() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    ::sigaction(SIGALRM, &action, &old_);  // no SA_RESTART: flock shall return EINTR
    const itimerval every{{0, 20'000}, {0, 20'000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }
  AlarmScope(const AlarmScope&) = delete;
  AlarmScope& operator=(const AlarmScope&) = delete;
  ~AlarmScope() {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    ::sigaction(SIGALRM, &old_, nullptr);
  }

 private:
  struct sigaction old_ {};
};

// True: locked. False: somebody else has it for longer than that, or errno says what went wrong.
bool lock_within(int fd, std::chrono::milliseconds patience) {
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno != EWOULDBLOCK) return false;
  const auto deadline = std::chrono::steady_clock::now() + patience;
  const AlarmScope alarm;
  while (std::chrono::steady_clock::now() < deadline) {
    if (::flock(fd, LOCK_EX) == 0) return true;
    if (errno != EINTR) return false;
  }
  errno = EWOULDBLOCK;
  return false;
}

// Best effort: a full disk takes no signature, and the lock holds without.
void sign(int fd) {
  const std::string text = formatted("{} {}\n", ::getpid(), process_started(::getpid()).value_or(0));
  if (::ftruncate(fd, 0) == 0) (void)::pwrite(fd, text.data(), text.size(), 0);
}

// rm removes the file while it holds the lock: a lock on a file that is no longer there counts for nothing.
bool still_there(int fd, const std::filesystem::path& path) {
  struct stat held {};
  struct stat there {};
  return ::fstat(fd, &held) == 0 && ::lstat(path.c_str(), &there) == 0 && held.st_dev == there.st_dev &&
         held.st_ino == there.st_ino;
}

// Shared: two that look at the same time don't take each other for a runner.
bool somebody_holds(int fd) { return ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK; }

}  // namespace

Result<VmLock> VmLock::acquire(const VmPaths& paths, std::chrono::milliseconds patience) {
  // Each round meets a directory that an rm took away meanwhile; more than a few are not by chance.
  for (int round = 0; round < 8; ++round) {
    const bool made = ::mkdir(paths.directory.c_str(), 0700) == 0;
    if (!made) MVM_CHECK(own_directory(paths.directory));
    UniqueFd fd = open_file(paths.lock(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
    if (!fd && errno == ENOENT) continue;
    if (!fd) {
      const int error = errno;
      if (made) ::rmdir(paths.directory.c_str());
      return fail(ErrorKind::failed, "{}: cannot be opened: {}", paths.lock().string(), errno_words(error));
    }
    if (!lock_within(fd.get(), patience)) {
      return fail(ErrorKind::failed, "{}: cannot be locked: {}", paths.lock().string(), errno_words(errno));
    }
    if (still_there(fd.get(), paths.lock())) {
      sign(fd.get());
      return VmLock(std::move(fd), made);
    }
  }
  return fail(ErrorKind::failed, "{}: is removed again and again while it is taken", paths.lock().string());
}

bool VmLock::is_held(const VmPaths& paths) {
  const UniqueFd fd = open_file(paths.lock(), O_RDONLY | O_NOFOLLOW);
  return fd && somebody_holds(fd.get());
}

bool VmLock::is_held(int vms, const VmName& name) {
  const std::string lock = name.str() + "/lock";
  int opened = -1;
  do {
    opened = ::openat(vms, lock.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  } while (opened < 0 && errno == EINTR);
  const UniqueFd fd(opened);
  return fd && somebody_holds(fd.get());
}

std::optional<VmLock::Holder> VmLock::holder(const VmPaths& paths) {
  const auto text = read_file(paths.lock(), 128);
  if (!text) return std::nullopt;
  Holder holder;
  const char* const end = text->data() + text->size();
  const auto pid = std::from_chars(text->data(), end, holder.pid);
  if (pid.ec != std::errc() || pid.ptr == end) return std::nullopt;
  if (std::from_chars(pid.ptr + 1, end, holder.started).ec != std::errc()) return std::nullopt;
  return holder;
}

void VmLock::wait_until_free(const VmPaths& paths) {
  const UniqueFd fd = open_file(paths.lock(), O_RDONLY | O_NOFOLLOW);
  while (fd && ::flock(fd.get(), LOCK_SH) != 0 && errno == EINTR) {
  }
}

}  // namespace mvm::host
