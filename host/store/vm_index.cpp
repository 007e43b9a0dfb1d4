// SPDX-License-Identifier: Apache-2.0
#include "store/vm_index.hpp"

#include <algorithm>
#include <utility>

#include "base/file.hpp"

namespace mvm::host {
namespace {

using google::protobuf::Arena;

constexpr size_t fewest = 64;  // VMs, below which their records are read as fast
constexpr uint32_t index_format = 1;
constexpr size_t max_index_bytes = 256 * 1024 * 1024;
// Reading a record takes some 64 times as long as writing an entry: fewer changes than one in so many are read again.
constexpr size_t read_over_write = 64;

bool by_name(const pb::VmIndexEntry& a, const pb::VmIndexEntry& b) { return a.summary().name() < b.summary().name(); }

}  // namespace

bool is_file(const pb::VmIndexEntry& entry, const struct stat& s) {
  return entry.inode() == static_cast<uint64_t>(s.st_ino) && entry.size() == static_cast<uint64_t>(s.st_size) &&
         entry.modified_ns() == modified_ns(s) && entry.changed_ns() == changed_ns(s);
}

VmIndex::VmIndex(std::filesystem::path file, Arena& arena)
    : file_(std::move(file)), arena_(arena), known_(*Arena::CreateMessage<pb::VmIndexFile>(&arena)) {
  const auto bytes = read_file(file_, max_index_bytes);
  const bool known = bytes && known_.ParseFromString(*bytes) && known_.format() == index_format;
  if (!known || !std::is_sorted(known_.entries().begin(), known_.entries().end(), by_name)) known_.Clear();
}

pb::VmIndexEntry* VmIndex::find(std::string_view name, const struct stat& s) const {
  const auto& entries = known_.entries();
  const auto found = std::lower_bound(entries.begin(), entries.end(), name, [](const auto& entry, auto wanted) {
    return std::string_view(entry.summary().name()) < wanted;
  });
  if (found == entries.end() || found->summary().name() != name || !is_file(*found, s)) return nullptr;
  return known_.mutable_entries(static_cast<int>(found - entries.begin()));
}

pb::VmIndexEntry* VmIndex::make(const pb::VmSummary& summary, const struct stat& s) const {
  if (is_racy(changed_ns(s))) return nullptr;
  auto* const entry = Arena::CreateMessage<pb::VmIndexEntry>(&arena_);
  entry->set_inode(static_cast<uint64_t>(s.st_ino));
  entry->set_size(static_cast<uint64_t>(s.st_size));
  entry->set_modified_ns(modified_ns(s));
  entry->set_changed_ns(changed_ns(s));
  *entry->mutable_summary() = summary;
  return entry;
}

void VmIndex::save(const std::vector<pb::VmIndexEntry*>& entries, size_t made) {
  const size_t gone = static_cast<size_t>(known_.entries_size()) + made - entries.size();
  if (entries.size() < fewest) return;
  if ((made + gone) * read_over_write < entries.size()) return;
  auto& next = *Arena::CreateMessage<pb::VmIndexFile>(&arena_);
  next.set_format(index_format);
  for (pb::VmIndexEntry* entry : entries) next.mutable_entries()->UnsafeArenaAddAllocated(entry);
  // Not durable, and two may write at once: half an index is none.
  (void)replace_file(file_, next.SerializeAsString(), Durability::none);
}

}  // namespace mvm::host
