// SPDX-License-Identifier: Apache-2.0
// Summaries of records that have not changed since they were last read, so that listing thousands of VMs takes a look
// at each record's file and not its parsing. A cache and nothing else: it may be missing, old, torn or from another
// version, and may be deleted at any time.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include <google/protobuf/arena.h>
#include <sys/stat.h>

#include "mvm/host/index.pb.h"

namespace mvm::host {

class VmIndex {
 public:
  // What the file says; nothing, where it is missing or makes no sense. Entries lie on `arena`, which outlives this.
  VmIndex(std::filesystem::path file, google::protobuf::Arena& arena);

  // The entry of a VM whose record is the file `s`; null when it isn't known, or the file has changed. [any thread]
  pb::VmIndexEntry* find(std::string_view name, const struct stat& s) const;

  // An entry for what was read from the record that is the file `s`; null when that changed just now (is_racy). [any
  // thread]
  pb::VmIndexEntry* make(const pb::VmSummary& summary, const struct stat& s) const;

  // Writes these entries, which find and make gave, by name, when they differ from the file by so much that it is worth
  // it; `made` of them are not in the file. Best effort.
  void save(const std::vector<pb::VmIndexEntry*>& entries, size_t made);

 private:
  std::filesystem::path file_;
  google::protobuf::Arena& arena_;
  pb::VmIndexFile& known_;  // on the arena; entries by name
};

// Whether the file `s` is the one that this entry was made of, unchanged.
bool is_file(const pb::VmIndexEntry& entry, const struct stat& s);

}  // namespace mvm::host
