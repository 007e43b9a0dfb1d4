// SPDX-License-Identifier: Apache-2.0
#include "launch/probe_cache.hpp"

#include <algorithm>
#include <optional>

#include <sys/stat.h>

#include "base/file.hpp"
#include "launch/plugin_probe.hpp"

namespace mvm::host {
namespace {

// Of the file as it is now; empty: there is none.
std::optional<pb::ProbeRecord> identity_of(const std::filesystem::path& path, const std::string& name) {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return std::nullopt;
  pb::ProbeRecord record;
  record.set_device(static_cast<uint64_t>(s.st_dev));
  record.set_inode(static_cast<uint64_t>(s.st_ino));
  record.set_size(static_cast<uint64_t>(s.st_size));
  record.set_mtime_ns(modified_ns(s));
  record.set_ctime_ns(changed_ns(s));
  record.set_host_version(MVM_VERSION);
  record.set_asked_name(name);
  return record;
}

std::string identity_bytes(pb::ProbeRecord record) {
  record.clear_view();
  return record.SerializeAsString();
}

}  // namespace

Result<pb::PluginView> cached_probe(const std::filesystem::path& directory, const std::filesystem::path& path,
                                    const std::string& name) {
  auto identity = directory.empty() ? std::nullopt : identity_of(path, name);
  if (!identity || !own_directory(directory.parent_path()) || !own_directory(directory))
    return probe_plugin(path, name);
  const auto file = directory / formatted("{:x}-{:x}", identity->device(), identity->inode());
  constexpr size_t largest = 1024 * 1024;
  if (const auto kept = read_file(file, largest)) {
    pb::ProbeRecord record;
    if (record.ParseFromString(*kept) && identity_bytes(record) == identity_bytes(*identity)) {
      record.mutable_view()->set_file(path.string());  // another link to it, perhaps
      return record.view();
    }
  }
  auto view = probe_plugin(path, name);
  if (view && !is_racy(std::max(identity->mtime_ns(), identity->ctime_ns()))) {
    *identity->mutable_view() = *view;
    (void)replace_file(file, identity->SerializeAsString(), Durability::none);  // a full disk only costs the next probe
  }
  return view;
}

}  // namespace mvm::host
