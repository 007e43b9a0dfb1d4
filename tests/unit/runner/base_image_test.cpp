// SPDX-License-Identifier: Apache-2.0
// Overlays: what a boot plans of them, and what it asks of the image below.
#include "runner/base_image.hpp"

#include <fstream>

#include "../base/temp_dir.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::host;
using mvm::test::ContainsSubstring;

namespace {

// A VM with an overlay over an image of one megabyte, and where its files are.
struct Overlaid {
  test::TempDir dir;
  std::filesystem::path image = dir.path() / "base.img";
  VmPaths paths{dir.path() / "vm"};
  pb::VmRecord record;
  Overlaid() {
    std::filesystem::create_directory(paths.directory);
    std::ofstream(image) << std::string(1 << 20, 'b');
    record.set_name("demo");
    record.mutable_spec()->set_rootfs(image.string());
    record.mutable_spec()->set_rootfs_mode("overlay");
  }
  RootfsPlan plan(bool fresh = false) const { return plan_rootfs(record, paths, fresh); }
  Result<void> check(bool fresh = false) { return check_base(record, plan(fresh)); }
};

}  // namespace

TEST_CASE("an overlay is a file of the VM's own over the image, and new until the hypervisor has made it") {
  Overlaid vm;
  CHECK(vm.plan().file == vm.paths.overlay());
  CHECK(vm.plan().base == vm.image);
  CHECK(vm.plan().is_new);
  std::ofstream(vm.paths.overlay()) << "";
  CHECK(vm.plan().is_new);
  std::ofstream(vm.paths.overlay()) << "made";
  CHECK_FALSE(vm.plan().is_new);
  vm.record.set_disk_pending(true);
  CHECK(vm.plan().is_new);
  vm.record.set_disk_pending(false);
  CHECK(vm.plan(true).is_new);
}

TEST_CASE("what another mode left behind goes with --fresh only, and never while it is the image itself") {
  Overlaid vm;
  std::ofstream(vm.paths.rootfs()) << "a clone";
  CHECK(vm.plan().left_behind.empty());
  CHECK(vm.plan(true).left_behind == std::vector{vm.paths.rootfs()});
  vm.record.set_disk_pending(true);
  CHECK(vm.plan().left_behind.empty());
  vm.record.set_disk_pending(false);
  vm.record.mutable_spec()->set_rootfs(vm.paths.rootfs().string());
  CHECK(vm.plan(true).left_behind.empty());
  std::ofstream(vm.paths.overlay()) << "made";
  vm.record.mutable_spec()->set_rootfs_mode("direct");
  CHECK(vm.plan(true).left_behind == std::vector{vm.paths.overlay()});
}

TEST_CASE("an image below an overlay may not change in size or time until the overlay is begun anew") {
  Overlaid vm;
  REQUIRE(vm.check());
  std::ofstream(vm.paths.overlay()) << "made";
  REQUIRE(vm.check());
  const auto time = std::filesystem::last_write_time(vm.image);
  std::filesystem::last_write_time(vm.image, time + std::chrono::nanoseconds(1'000'000));
  CHECK_THAT(vm.check().error().message, ContainsSubstring("base.img: has changed since demo began to write over it"));
  std::filesystem::last_write_time(vm.image, time);
  CHECK(vm.check());
  std::filesystem::resize_file(vm.image, 1 << 19);
  std::filesystem::last_write_time(vm.image, time);
  CHECK_THAT(vm.check().error().message, ContainsSubstring("1048576 bytes of"));
  CHECK(vm.check(true));
  CHECK(vm.check());
}

TEST_CASE("an image that cannot show whether it has changed is none for an overlay") {
  Overlaid vm;
  vm.record.mutable_spec()->set_rootfs("/dev/null");
  CHECK_THAT(vm.check().error().message, ContainsSubstring("/dev/null: is no image file"));
  vm.record.mutable_spec()->set_rootfs((vm.dir.path() / "gone").string());
  CHECK_THAT(vm.check().error().message, ContainsSubstring("gone: No such file"));
}

TEST_CASE("an overlay is required as a feature, so that no hypervisor overlooks it") {
  const Overlaid vm;
  v1::HypervisorInfo info;
  const auto spec = make_spec(vm.record, vm.plan(), info);
  REQUIRE(spec.required_features_size() == 1);
  CHECK(spec.required_features(0) == "disk-overlay");
  CHECK(spec.disks(0).path() == vm.paths.overlay());
  CHECK(spec.disks(0).base() == vm.image);
  CHECK_FALSE(spec.disks(0).read_only());
  RootfsPlan direct;
  direct.file = vm.image;
  CHECK(make_spec(vm.record, direct, info).required_features().empty());
}
