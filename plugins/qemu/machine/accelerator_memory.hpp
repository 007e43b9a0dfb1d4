// SPDX-License-Identifier: Apache-2.0
// Which kernels KVM was found to run, or not, since this host was booted: finding out takes a second or five. Kept in a
// file of the user's cache; one that cannot be read or written, or makes no sense, is as good as none.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace mvm::qemu {

class AcceleratorMemory {
 public:
  // directory: made when it is not there. boot_id: what was learnt under another one is forgotten.
  AcceleratorMemory(std::string directory, std::string boot_id);

  // $XDG_CACHE_HOME/mvm or ~/.cache/mvm, and this boot of the host's.
  static AcceleratorMemory of_this_user();

  // key: what it depends on, see file_identity.
  std::optional<bool> recall(const std::string& key) const;
  // The file is replaced as a whole: a reader sees the old one or the new one.
  void remember(const std::string& key, bool works) const noexcept;

 private:
  struct Entry {
    std::string key;
    bool works = false;
  };

  std::vector<Entry> read() const;
  void write(const std::vector<Entry>& entries) const;
  std::string file() const { return directory_ + "/qemu-kvm.json"; }

  std::string directory_;  // empty: nothing is remembered
  std::string boot_id_;
};

// The file's path, size, inode and time of change: another one when it was replaced or written to.
std::string file_identity(const std::string& path);

}  // namespace mvm::qemu
