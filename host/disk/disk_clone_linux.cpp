// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include "disk/disk_clone.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {

UniqueFd clone_file(int from, const std::filesystem::path& to) {
  UniqueFd fd = open_file(to, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  if (!fd || ::ioctl(fd.get(), FICLONE, from) == 0) return fd;
  ::unlink(to.c_str());
  return UniqueFd();
}

ssize_t copy_in_kernel(int from, int to, off_t offset, size_t size) {
  loff_t at_from = offset;
  loff_t at_to = offset;
  return ::copy_file_range(from, &at_from, to, &at_to, size, 0);
}

}  // namespace mvm::host
#endif
