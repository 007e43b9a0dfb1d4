// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <charconv>
#include <string_view>

#include "mvm/options.hpp"

namespace mvm::apple_vz {
namespace {

Caching caching(const OptionValue& value) {
  return value.one_of<Caching>(
      {{"cached", Caching::cached}, {"uncached", Caching::uncached}, {"automatic", Caching::automatic}});
}

Synchronization synchronization(const OptionValue& value) {
  return value.one_of<Synchronization>(
      {{"fsync", Synchronization::fsync}, {"full", Synchronization::full}, {"none", Synchronization::none}});
}

bool yes(const OptionValue& value) { return value.one_of<bool>({{"yes", true}, {"no", false}}); }

constexpr Option<DiskOptions> disk_keys[] = {
    {"disk-cache", "cached|uncached|automatic: the host's cache for disks (cached); disk-cache.N: for the Nth, from 0",
     [](auto& o, auto& v) { o.caching = caching(v); }},
    {"disk-sync",
     "fsync|full|none: what a guest's flush does (fsync; full: F_FULLFSYNC; none: nothing); disk-sync.N: of the Nth",
     [](auto& o, auto& v) { o.synchronization = synchronization(v); }},
};

constexpr Option<Options> keys[] = {
    {"nested", "yes|no: the guest may run virtual machines itself (no; macOS 15, M3 or later)",
     [](auto& o, auto& v) { o.nested = yes(v); }},
    {"rosetta", "yes|no: Rosetta as share \"rosetta\", for x86-64 programs in the guest (no; macOS 13, Apple silicon)",
     [](auto& o, auto& v) { o.rosetta = yes(v); }},
};

// The options that "disk-cache" or "disk-cache.1" is for; null when the end of the name is no number.
DiskOptions* options_for(Options& options, std::string_view rest) {
  if (rest.empty()) return &options.all_disks;
  size_t n = 0;
  const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), n);
  if (rest.front() != '.' || error != std::errc{} || end != rest.data() + rest.size()) return nullptr;
  return &options.disks[n];
}

bool set_disk_option(Options& options, const std::string& name, const std::string& text) {
  for (const Option<DiskOptions>& key : disk_keys) {
    if (!name.starts_with(key.name)) continue;
    DiskOptions* const of = options_for(options, std::string_view(name).substr(std::string_view(key.name).size()));
    if (of == nullptr) continue;
    key.set(*of, OptionValue{name, text});
    return true;
  }
  return false;
}

void put(const DiskOptions& options, DiskPlan& disk) {
  if (options.caching) disk.caching = *options.caching;
  if (options.synchronization) disk.synchronization = *options.synchronization;
}

}  // namespace

Options parse_options(const google::protobuf::Map<std::string, std::string>& options) {
  Options parsed;
  for (const auto& [name, text] : options) {
    if (set_disk_option(parsed, name, text) || set_option(parsed, keys, name, text)) continue;
    throw unknown_option("apple-vz", name, disk_keys, keys);
  }
  return parsed;
}

void apply(const Options& options, std::vector<DiskPlan>& disks) {
  for (DiskPlan& disk : disks) put(options.all_disks, disk);
  for (const auto& [n, one] : options.disks) {
    if (n >= disks.size()) {
      throw Error(MVM_ERR_INVALID, "option for disk " + std::to_string(n) + ": the VM has " +
                                       std::to_string(disks.size()) + ", counted from 0");
    }
    put(one, disks[n]);
  }
}

std::vector<v1::OptionInfo> describe_options() { return mvm::describe_options<v1::OptionInfo>(disk_keys, keys); }

}  // namespace mvm::apple_vz
