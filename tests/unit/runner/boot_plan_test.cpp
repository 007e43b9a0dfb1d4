// SPDX-License-Identifier: Apache-2.0
#include "runner/boot_plan.hpp"

#include <fstream>

#include "../base/temp_dir.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::host;
using mvm::test::ContainsSubstring;

namespace {

pb::BootRequest request(const std::string& hypervisor = "mock") {
  pb::BootRequest r;
  r.set_name("demo");
  r.set_hypervisor(hypervisor);
  r.mutable_has()->set_kernel(true);
  r.mutable_given()->set_kernel("/boot/vmlinuz");
  return r;
}

pb::VmRecord known() {
  auto r = request();
  r.mutable_has()->set_cpus(true);
  r.mutable_given()->set_cpus(8);
  r.mutable_has()->set_rootfs(true);
  r.mutable_given()->set_rootfs("/img/one");
  r.mutable_has()->set_shares(true);
  r.mutable_given()->add_shares()->set_path("/a");
  auto record = *plan_boot(std::nullopt, r, "");
  return record;
}

pb::BootRequest again() {
  pb::BootRequest r;
  r.set_name("demo");
  return r;
}

RootfsPlan used_directly(const std::filesystem::path& image) {
  RootfsPlan plan;
  plan.file = image;
  return plan;
}

struct Shares {
  test::TempDir dir;
  std::filesystem::path base = std::filesystem::canonical(dir.path());
  VmStore store = *VmStore::at(base / "user" / ".mvm");
  Shares() {
    std::filesystem::create_directories(base / "user" / ".mvm" / "vms");
    std::filesystem::create_directories(base / "user" / "src");
    ::setenv("HOME", (base / "user").c_str(), 1);
  }
  Result<v1::Share> resolve(const std::filesystem::path& path, const std::string& tag = "") const {
    v1::Share share;
    share.set_path(path.string());
    share.set_tag(tag);
    MVM_CHECK(resolve_share(share, store));
    return share;
  }
};

}  // namespace

TEST_CASE("a new VM has 2 processors, 512 MiB, a clone of its rootfs and a locally administered MAC") {
  const auto record = plan_boot(std::nullopt, request(), "");
  REQUIRE(record);
  CHECK(record->spec().cpus() == 2);
  CHECK(record->spec().memory_bytes() == 512u << 20);
  CHECK(record->spec().rootfs_mode() == "clone");
  CHECK(record->spec().mac().substr(0, 6) == "52:54:");
}

TEST_CASE("options left out are remembered, the MAC too; options given replace") {
  const auto previous = known();
  const auto same = plan_boot(previous, again(), "");
  REQUIRE(same);
  CHECK(same->spec().SerializeAsString() == previous.spec().SerializeAsString());
  auto changed = again();
  changed.mutable_has()->set_shares(true);  // emptied
  changed.mutable_has()->set_cpus(true);
  changed.mutable_given()->set_cpus(1);
  const auto other = plan_boot(previous, changed, "");
  CHECK(other->spec().cpus() == 1);
  CHECK(other->spec().shares_size() == 0);
  CHECK(other->spec().kernel() == "/boot/vmlinuz");
}

TEST_CASE("a hypervisor that contradicts the record is an error, and a default never is") {
  const auto previous = known();
  auto contradicting = again();
  contradicting.set_hypervisor("qemu");
  const auto refused = plan_boot(previous, contradicting, "");
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == ErrorKind::invalid);
  CHECK_THAT(refused.error().message, ContainsSubstring("demo: was made with hypervisor mock, not qemu"));
  CHECK(plan_boot(previous, again(), "qemu")->hypervisor() == "mock");
  contradicting.set_fresh(true);
  CHECK(plan_boot(previous, contradicting, "")->hypervisor() == "qemu");
}

TEST_CASE("without a hypervisor said anywhere there is an error that says how to say it") {
  auto r = request("");
  CHECK_THAT(plan_boot(std::nullopt, r, "").error().message, ContainsSubstring("say --hypervisor NAME"));
  CHECK(plan_boot(std::nullopt, r, "apple-vz")->hypervisor() == "apple-vz");
}

TEST_CASE("another rootfs, or another mode of it, takes --fresh") {
  const auto previous = known();
  auto other = again();
  other.mutable_has()->set_rootfs(true);
  other.mutable_given()->set_rootfs("/img/two");
  CHECK_THAT(plan_boot(previous, other, "").error().message, ContainsSubstring("takes --fresh"));
  other.mutable_given()->set_rootfs("/img/one");
  CHECK(plan_boot(previous, other, ""));
  other.mutable_has()->set_rootfs_mode(true);
  other.mutable_given()->set_rootfs_mode("direct");
  CHECK_FALSE(plan_boot(previous, other, ""));
  other.set_fresh(true);
  CHECK(plan_boot(previous, other, ""));
}

TEST_CASE("a VM whose own disk was never made may be given another image, or mode, without --fresh") {
  auto previous = known();
  previous.set_disk_pending(true);
  auto other = again();
  other.mutable_has()->set_rootfs(true);
  other.mutable_given()->set_rootfs("/img/two");
  const auto plan = plan_boot(previous, other, "");
  REQUIRE(plan);
  CHECK(plan->spec().rootfs() == "/img/two");
  other.mutable_has()->set_rootfs_mode(true);
  other.mutable_given()->set_rootfs_mode("direct");
  CHECK(plan_boot(previous, other, "")->spec().rootfs_mode() == "direct");
}

TEST_CASE("a VM without a kernel is refused") {
  auto r = again();
  r.set_hypervisor("mock");
  CHECK_THAT(plan_boot(std::nullopt, r, "").error().message, ContainsSubstring("--kernel FILE"));
}

TEST_CASE("shares of the whole file system, the home directory and the state directory are refused") {
  const Shares s;
  CHECK_THAT(s.resolve("/").error().message, ContainsSubstring("is the whole file system"));
  CHECK_THAT(s.resolve("/tmp/..").error().message, ContainsSubstring("is the whole file system"));
  CHECK_THAT(s.resolve(s.base / "user").error().message, ContainsSubstring("is your home directory"));
  CHECK_THAT(s.resolve(s.base).error().message, ContainsSubstring("contains your home directory"));
  CHECK_THAT(s.resolve(s.base / "user" / ".mvm").error().message, ContainsSubstring("is in the state directory"));
  CHECK_THAT(s.resolve(s.base / "user" / ".mvm" / "vms").error().message,
             ContainsSubstring("is in the state directory"));
}

TEST_CASE("a share through a link is judged by where it leads") {
  const Shares s;
  std::filesystem::create_directory_symlink("/", s.base / "user" / "src" / "root");
  std::filesystem::create_directory_symlink(s.base / "user" / ".mvm", s.base / "user" / "src" / "state");
  CHECK_FALSE(s.resolve(s.base / "user" / "src" / "root"));
  CHECK_FALSE(s.resolve(s.base / "user" / "src" / "state"));
}

TEST_CASE("a share's tag is its directory's name unless one is given, and 1 to 35 plain bytes") {
  const Shares s;
  const auto src = s.base / "user" / "src";
  CHECK(s.resolve(src)->tag() == "src");
  CHECK(s.resolve(src, std::string(35, 't'))->tag() == std::string(35, 't'));
  CHECK_THAT(s.resolve(src, std::string(36, 't')).error().message, ContainsSubstring("has 36 bytes, 35 are the most"));
  CHECK_FALSE(s.resolve(src, "a b"));
  CHECK_FALSE(s.resolve(src, "a/b"));
}

TEST_CASE("a share that is a file or missing is refused") {
  const Shares s;
  std::ofstream(s.base / "file") << "x";
  CHECK_THAT(s.resolve(s.base / "file").error().message, ContainsSubstring("is not a directory"));
  CHECK_FALSE(s.resolve(s.base / "none"));
}

TEST_CASE("two shares of one tag and one host port given twice are refused") {
  const Shares s;
  pb::VmConfig config;
  config.set_memory_bytes(1 << 20);
  for (int i = 0; i < 2; ++i) config.add_shares()->set_path((s.base / "user" / "src").string());
  CHECK_THAT(resolve_plan(config, {}, s.store).error().message, ContainsSubstring("is taken by another share"));
  config.clear_shares();
  for (int i = 0; i < 2; ++i) config.add_published_ports()->set_host_port(8080);
  CHECK_THAT(resolve_plan(config, {}, s.store).error().message, ContainsSubstring("is given twice"));
}

TEST_CASE("the default command line follows the rootfs, its mode, and the hypervisor's console") {
  pb::VmRecord record;
  v1::HypervisorInfo info;
  CHECK(make_spec(record, {}, info).cmdline() == "console=hvc0");
  CHECK(make_spec(record, used_directly("/x"), info).cmdline() == "console=hvc0 root=/dev/vda rw init=/init");
  record.mutable_spec()->set_rootfs_mode("readonly");
  info.set_console_device("ttyS0");
  const auto spec = make_spec(record, used_directly("/x"), info);
  CHECK(spec.cmdline() == "console=ttyS0 root=/dev/vda ro init=/init");
  CHECK(spec.disks(0).read_only());
  record.mutable_spec()->set_cmdline("mine");
  CHECK(make_spec(record, used_directly("/x"), info).cmdline() == "mine");
}

// Regression: the VM's own raw disk was probed at every boot, so that a guest could turn it into a qcow2 image whose
// backing file is any file of the host's.
TEST_CASE("a disk stays raw whatever its guest has written into it") {
  const Shares s;
  const auto image = s.base / "disk.img";
  std::ofstream(image) << "raw";
  pb::VmConfig config;
  config.set_memory_bytes(1 << 20);
  config.set_rootfs(image.string());
  config.set_rootfs_mode("direct");
  config.add_disks()->set_path(image.string());
  REQUIRE(resolve_plan(config, used_directly(image), s.store));
  std::ofstream(image) << "QFI\xfb forged";
  REQUIRE(resolve_plan(config, used_directly(image), s.store));
  CHECK(config.rootfs_format() == v1::DISK_FORMAT_RAW);
  CHECK(config.disks(0).format() == v1::DISK_FORMAT_RAW);
}

TEST_CASE("a console on a pty takes a hypervisor with console input") {
  const Shares s;
  const auto kernel = s.base / "kernel";
  std::string elf(
      "\x7f"
      "ELF\2\1\1",
      7);
  elf.resize(64);
  elf[16] = 2;
  elf[18] = 62;
  std::ofstream(kernel) << elf;
  pb::VmConfig config;
  config.set_kernel(kernel.string());
  config.set_pty(true);
  v1::HypervisorInfo info;
  info.add_kernel_formats(v1::KERNEL_FORMAT_ELF);
  CHECK_THAT(check_plan(config, {}, "x", info).error().message, ContainsSubstring("--console-pty: x takes no input"));
  info.set_console_input(true);
  CHECK(check_plan(config, {}, "x", info));
}
