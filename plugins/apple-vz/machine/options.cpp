// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <string_view>
#include <utility>

#include "mvm/hypervisor.hpp"

namespace mvm::apple_vz {
namespace {

// One key's value, with what an error has to name.
struct Value {
  std::string_view key;
  std::string_view text;

  [[noreturn]] void refuse(std::string_view wanted) const {
    throw Error(MVM_ERR_INVALID,
                "option " + std::string(key) + ": \"" + std::string(text) + "\" is not " + std::string(wanted));
  }
};

Caching caching(const Value& value) {
  if (value.text == "cached") return Caching::cached;
  if (value.text == "uncached") return Caching::uncached;
  if (value.text == "automatic") return Caching::automatic;
  value.refuse("cached, uncached or automatic");
}

Synchronization synchronization(const Value& value) {
  if (value.text == "fsync") return Synchronization::fsync;
  if (value.text == "full") return Synchronization::full;
  if (value.text == "none") return Synchronization::none;
  value.refuse("fsync, full or none");
}

bool yes(const Value& value) {
  if (value.text != "yes" && value.text != "no") value.refuse("yes or no");
  return value.text == "yes";
}

struct DiskKey {
  const char* name;
  const char* help;
  void (*set)(DiskOptions& o, const Value& v);
};

constexpr DiskKey disk_keys[] = {
    {"disk-cache", "cached|uncached|automatic: the host's cache for disks (cached); disk-cache.N: for the Nth, from 0",
     [](auto& o, auto& v) { o.caching = caching(v); }},
    {"disk-sync",
     "fsync|full|none: what a guest's flush does (fsync; full: F_FULLFSYNC; none: nothing); disk-sync.N: of the Nth",
     [](auto& o, auto& v) { o.synchronization = synchronization(v); }},
};

struct Key {
  const char* name;
  const char* help;
  void (*set)(Options& o, const Value& v);
};

constexpr Key keys[] = {
    {"nested", "yes|no: the guest may run virtual machines itself (no; macOS 15, M3 or later)",
     [](auto& o, auto& v) { o.nested = yes(v); }},
    {"rosetta", "yes|no: Rosetta as share \"rosetta\", for x86-64 programs in the guest (no; macOS 13, Apple silicon)",
     [](auto& o, auto& v) { o.rosetta = yes(v); }},
};

[[noreturn]] void refuse_key(const std::string& name) {
  std::string text = "option " + name + ": unknown; apple-vz knows";
  const char* separator = " ";
  for (const DiskKey& key : disk_keys) text += std::exchange(separator, ", ") + std::string(key.name);
  for (const Key& key : keys) text += std::exchange(separator, ", ") + std::string(key.name);
  throw Error(MVM_ERR_INVALID, text);
}

// The options that "disk-cache" or "disk-cache.1" is for; null when the end of the name is no number.
DiskOptions* options_for(Options& options, std::string_view rest) {
  if (rest.empty()) return &options.all_disks;
  size_t n = 0;
  const auto [end, error] = std::from_chars(rest.data() + 1, rest.data() + rest.size(), n);
  if (rest.front() != '.' || error != std::errc{} || end != rest.data() + rest.size()) return nullptr;
  return &options.disks[n];
}

bool set_disk_option(Options& options, const std::string& name, const std::string& text) {
  for (const DiskKey& key : disk_keys) {
    if (!name.starts_with(key.name)) continue;
    DiskOptions* const of = options_for(options, std::string_view(name).substr(std::string_view(key.name).size()));
    if (of == nullptr) continue;
    key.set(*of, Value{name, text});
    return true;
  }
  return false;
}

void put(const DiskOptions& options, DiskPlan& disk) {
  if (options.caching) disk.caching = *options.caching;
  if (options.synchronization) disk.synchronization = *options.synchronization;
}

void add_info(std::vector<v1::OptionInfo>& infos, const char* name, const char* help) {
  v1::OptionInfo& info = infos.emplace_back();
  info.set_key(name);
  info.set_help(help);
}

}  // namespace

Options parse_options(const google::protobuf::Map<std::string, std::string>& options) {
  Options parsed;
  for (const auto& [name, text] : options) {
    if (set_disk_option(parsed, name, text)) continue;
    const auto* const key =
        std::find_if(std::begin(keys), std::end(keys), [&name = name](const Key& k) { return name == k.name; });
    if (key == std::end(keys)) refuse_key(name);
    key->set(parsed, Value{key->name, text});
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

std::vector<v1::OptionInfo> describe_options() {
  std::vector<v1::OptionInfo> infos;
  for (const DiskKey& key : disk_keys) add_info(infos, key.name, key.help);
  for (const Key& key : keys) add_info(infos, key.name, key.help);
  return infos;
}

}  // namespace mvm::apple_vz
