// SPDX-License-Identifier: Apache-2.0
#include "machine/options.hpp"

#include <string>
#include <vector>

#include "mvm/hypervisor.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::apple_vz;

namespace {

Options options(std::initializer_list<std::pair<std::string, std::string>> given) {
  google::protobuf::Map<std::string, std::string> map;
  for (const auto& [key, value] : given) map[key] = value;
  return parse_options(map);
}

std::vector<DiskPlan> disks(size_t count, const Options& o) {
  std::vector<DiskPlan> all(count);
  apply(o, all);
  return all;
}

}  // namespace

TEST_CASE("disks are cached and flushed by fsync when nothing is said: automatic caching corrupts Linux guests") {
  const auto disk = disks(1, options({}))[0];
  CHECK(disk.caching == Caching::cached);
  CHECK(disk.synchronization == Synchronization::fsync);
}

TEST_CASE("what is said for one disk counts more than what is said for all") {
  const auto all =
      disks(2, options({{"disk-cache", "uncached"}, {"disk-cache.1", "automatic"}, {"disk-sync.0", "full"}}));
  CHECK(all[0].caching == Caching::uncached);
  CHECK(all[0].synchronization == Synchronization::full);
  CHECK(all[1].caching == Caching::automatic);
  CHECK(all[1].synchronization == Synchronization::fsync);
}

TEST_CASE("an option for a disk that the VM has not is refused") {
  CHECK_THROWS_WITH(disks(1, options({{"disk-sync.1", "none"}})), "option for disk 1: the VM has 1, counted from 0");
}

TEST_CASE("an unknown option is refused with those that there are") {
  const char* known = "unknown; apple-vz knows disk-cache, disk-sync, nested, rosetta";
  CHECK_THROWS_WITH(options({{"disk", "1"}}), "option disk: " + std::string(known));
  CHECK_THROWS_WITH(options({{"disk-cache.one", "cached"}}), "option disk-cache.one: " + std::string(known));
  CHECK_THROWS_WITH(options({{"disk-cache.", "cached"}}), "option disk-cache.: " + std::string(known));
  CHECK_THROWS_WITH(options({{"disk-cached", "cached"}}), "option disk-cached: " + std::string(known));
}

TEST_CASE("a value that is none is refused with those that there are") {
  CHECK_THROWS_WITH(options({{"disk-cache.0", "yes"}}),
                    "option disk-cache.0: \"yes\" is not cached, uncached or automatic");
  CHECK_THROWS_WITH(options({{"disk-sync", ""}}), "option disk-sync: \"\" is not fsync, full or none");
  CHECK_THROWS_WITH(options({{"nested", "true"}}), "option nested: \"true\" is not yes or no");
  CHECK(options({{"nested", "yes"}, {"rosetta", "no"}}).nested);
}
