// SPDX-License-Identifier: Apache-2.0
#include "disk_locks.hpp"

#include <fcntl.h>

namespace mvm::vz_double {

bool DiskLocks::take(const std::vector<MachineDisk>& disks) {
  for (const MachineDisk& disk : disks) {
    UniqueFd file(::open(disk.path.c_str(), (disk.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC));
    struct flock range {};
    range.l_type = static_cast<short>(disk.read_only ? F_RDLCK : F_WRLCK);
    range.l_whence = SEEK_SET;
    // Of the open file, not of the process, and beside whatever flock(2) the user holds.
    if (!file || ::fcntl(file.get(), F_OFD_SETLK, &range) != 0) {
      release();
      return false;
    }
    held_.push_back(std::move(file));
  }
  return true;
}

}  // namespace mvm::vz_double
