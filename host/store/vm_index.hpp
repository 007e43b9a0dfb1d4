// SPDX-License-Identifier: Apache-2.0
// Summaries of records that have not changed since they were last read, so that listing thousands of VMs takes a look
// at each record's file and not its parsing. A cache and nothing else: it may be missing, old, torn or from another
// version, and may be deleted at any time.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sys/stat.h>

#include "mvm/host/index.pb.h"

namespace mvm::host {

class VmIndex {
 public:
  // A record that changed within this time of being read is not kept: a second change in the same tick of the file
  // system's clock would not show (the same trap as that of git's index: its Documentation/technical/racy-git.txt).
  static constexpr std::chrono::seconds racy{2};

  // What the file says; nothing, where it is missing or makes no sense.
  explicit VmIndex(std::filesystem::path file);

  // The summary of a VM whose record is the file `s`; nothing when it isn't known, or the file has changed.
  std::optional<pb::VmSummary> find(const std::string& name, const struct stat& s);

  // Keeps what was read from the record that is the file `s`.
  void keep(const pb::VmSummary& summary, const struct stat& s);

  // Writes what was found or kept, when it differs from the file by so much that it is worth it. Best effort.
  void save();

 private:
  std::filesystem::path file_;
  pb::VmIndexFile known_;
  std::unordered_map<std::string_view, pb::VmIndexEntry*> by_name_;  // of known_, which keeps them in their places
  std::vector<pb::VmIndexEntry*> current_;                           // of known_: found, or kept
  size_t kept_ = 0;
};

}  // namespace mvm::host
