// SPDX-License-Identifier: Apache-2.0
#include "store/vm_index.hpp"

#include <utility>

#include "base/file.hpp"

namespace mvm::host {
namespace {

constexpr size_t fewest = 64;  // VMs, below which their records are read as fast
constexpr uint32_t index_format = 1;
constexpr size_t max_index_bytes = 256 * 1024 * 1024;
// Reading a record takes some 64 times as long as writing an entry: fewer changes than one in so many are read again.
constexpr size_t read_over_write = 64;

bool is_file(const pb::VmIndexEntry& entry, const struct stat& s) {
  return entry.inode() == static_cast<uint64_t>(s.st_ino) && entry.size() == static_cast<uint64_t>(s.st_size) &&
         entry.modified_ns() == modified_ns(s) && entry.changed_ns() == changed_ns(s);
}

bool changed_just_now(const struct stat& s) {
  using namespace std::chrono;
  const auto now = duration_cast<nanoseconds>(system_clock::now().time_since_epoch());
  const auto age = now - nanoseconds(changed_ns(s));
  return age < VmIndex::racy;  // and in the future, where a clock was set back
}

}  // namespace

VmIndex::VmIndex(std::filesystem::path file) : file_(std::move(file)) {
  const auto bytes = read_file(file_, max_index_bytes);
  if (!bytes || !known_.ParseFromString(*bytes) || known_.format() != index_format) known_.Clear();
  by_name_.reserve(static_cast<size_t>(known_.entries_size()));
  for (auto& entry : *known_.mutable_entries()) by_name_.emplace(entry.summary().name(), &entry);
  current_.reserve(by_name_.size());
}

std::optional<pb::VmSummary> VmIndex::find(const std::string& name, const struct stat& s) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end() || !is_file(*found->second, s)) return std::nullopt;
  current_.push_back(found->second);
  return found->second->summary();
}

void VmIndex::keep(const pb::VmSummary& summary, const struct stat& s) {
  if (changed_just_now(s)) return;
  pb::VmIndexEntry* const entry = known_.add_entries();
  entry->set_inode(static_cast<uint64_t>(s.st_ino));
  entry->set_size(static_cast<uint64_t>(s.st_size));
  entry->set_modified_ns(modified_ns(s));
  entry->set_changed_ns(changed_ns(s));
  *entry->mutable_summary() = summary;
  current_.push_back(entry);
  ++kept_;
}

void VmIndex::save() {
  const size_t gone = by_name_.size() + kept_ - current_.size();
  if (current_.size() < fewest) return;
  if ((kept_ + gone) * read_over_write < current_.size()) return;
  pb::VmIndexFile next;
  next.set_format(index_format);
  for (pb::VmIndexEntry* entry : current_) *next.add_entries() = *entry;
  // Not durable, and two may write at once: half an index is none.
  (void)replace_file(file_, next.SerializeAsString(), false);
}

}  // namespace mvm::host
