// SPDX-License-Identifier: Apache-2.0
#if defined(__APPLE__)
#include <cerrno>

#include <fcntl.h>
#include <sys/clonefile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "disk/disk_clone.hpp"

namespace mvm::host {

UniqueFd clone_file(int from, const std::filesystem::path& to) {
  if (::fclonefileat(from, AT_FDCWD, to.c_str(), CLONE_NOFOLLOW | CLONE_NOOWNERCOPY) != 0) return UniqueFd();
  // The clone has the original's mode, perhaps 0400: that must go before it can be opened for writing.
  if (::chmod(to.c_str(), 0600) == 0) {
    if (UniqueFd fd = open_file(to, O_RDWR | O_NOFOLLOW)) return fd;
  }
  ::unlink(to.c_str());
  return UniqueFd();
}

ssize_t copy_in_kernel(int, int, off_t, size_t) {
  errno = ENOSYS;
  return -1;
}

}  // namespace mvm::host
#endif
