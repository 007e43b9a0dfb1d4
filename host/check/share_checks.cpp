// SPDX-License-Identifier: Apache-2.0
// Shared directories, as the guest sees them.
#include <filesystem>

#include "check/check.hpp"
#include "check/guest_files.hpp"
#include "check/running_vm.hpp"
#include "check/stream.hpp"
#include "mvm/ext/unshare_dir.h"

namespace mvm::host::check {
namespace {

namespace fs = std::filesystem;

MVM_PLUGIN_CHECK("a directory shared at boot is read by the guest, byte for byte", "share", "", own_vm) {
  const TempDir dir;
  Machine m;
  const auto port = subject().service("share");
  MVM_SKIP_UNLESS("share_dir_at_boot and service share", m.info().share_dir_at_boot() && port);
  const std::string content = some_bytes(300'000);
  write_file(dir.path() / "data.bin", content);
  v1::VmSpec spec = m.spec();
  v1::Share* share = spec.add_shares();
  share->set_tag("workdir");
  share->set_path(dir.path().string());
  share->set_read_only(true);
  m.must_boot(spec);
  GuestFiles guest(m, *port);
  MVM_REQUIRE(guest.sees("workdir"));
  MVM_EXPECT(guest.shares() == std::vector<std::string>{"workdir ro"});
  MVM_EXPECT(guest.list("workdir") == std::vector<std::string>{"f 300000 data.bin"});
  MVM_EXPECT((guest.read("workdir", "data.bin") == content));
  MVM_REQUIRE(m.list().vms(0).shares_size() == 1);
  MVM_EXPECT(m.list().vms(0).shares(0).tag() == "workdir");
}

MVM_PLUGIN_CHECK("a directory shared while the VM runs is read and written by the guest", "share", "", shares_vm) {
  const TempDir dir;
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  MVM_SKIP_UNLESS("share_dir_while_running and service share", m.info().share_dir_while_running() && port);
  GuestFiles guest(m, *port);
  MVM_EXPECT(guest.shares().empty());
  MVM_REQUIRE(m.share("work", dir.path().string(), false).error == "");
  MVM_REQUIRE(guest.sees("work"));
  fs::create_directory(dir.path() / "sub dir");
  const std::string content = some_bytes(200'000, 3);
  MVM_EXPECT(guest.write("work", "sub%20dir/new", content) == "OK 200000");
  MVM_EXPECT((read_file(dir.path() / "sub dir" / "new") == content));
  MVM_EXPECT(guest.write("work", "sub%20dir/new", "short") == "OK 5");
  MVM_EXPECT(read_file(dir.path() / "sub dir" / "new") == "short");
  MVM_EXPECT(guest.list("work sub%20dir") == std::vector<std::string>{"f 5 new"});
  check_no_rule_was_broken(m);
}

MVM_PLUGIN_CHECK("a guest cannot write into a read-only share", "share", "", shares_vm) {
  const TempDir dir;
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  MVM_SKIP_UNLESS("share_dir_while_running and service share", m.info().share_dir_while_running() && port);
  write_file(dir.path() / "file", "as it was");
  MVM_REQUIRE(m.share("ro", dir.path().string(), true).status == MVM_OK);
  GuestFiles guest(m, *port);
  MVM_REQUIRE(guest.sees("ro"));
  MVM_EXPECT(guest.write("ro", "file", "changed") == "ERR read-only");
  MVM_EXPECT(guest.write("ro", "new", "made") == "ERR read-only");
  MVM_EXPECT(guest.read("ro", "file") == "as it was");
  MVM_EXPECT(!(fs::exists(dir.path() / "new")));
}

MVM_PLUGIN_CHECK("nothing leads a guest out of a share", "share", "", shares_vm) {
  const TempDir outside;
  write_file(outside.path() / "secret", "not yours");
  const TempDir dir;
  fs::create_symlink(outside.path(), dir.path() / "link");
  fs::create_symlink(outside.path() / "secret", dir.path() / "file");
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  MVM_SKIP_UNLESS("share_dir_while_running and service share", m.info().share_dir_while_running() && port);
  MVM_REQUIRE(m.share("work", dir.path().string(), false).status == MVM_OK);
  GuestFiles guest(m, *port);
  MVM_REQUIRE(guest.sees("work"));
  const std::string up = "../" + outside.path().filename().string() + "/secret";
  for (const std::string& path : {up, "x/../" + up, std::string("link/secret"), std::string("file")}) {
    MVM_EXPECT(starts_with(guest.read("work", path), "ERR "));
  }
  MVM_EXPECT(starts_with(guest.write("work", "link/new", "x"), "ERR "));
  MVM_EXPECT(starts_with(guest.write("work", "../new", "x"), "ERR "));
  MVM_EXPECT(!(fs::exists(outside.path() / "new")));
}

MVM_PLUGIN_CHECK("a share that cannot be is refused with a reason", "share", "MVM-P8", shares_vm) {
  const TempDir dir;
  write_file(dir.path() / "file", "");
  const RunningVm vm;
  Machine& m = *vm;
  MVM_SKIP_UNLESS("share_dir_while_running", m.info().share_dir_while_running());
  const auto refused = [](const Outcome& outcome, mvm_status status) {
    MVM_EXPECT(outcome.status == status);
    MVM_EXPECT(starts_with(outcome.error, "share "));
  };
  MVM_REQUIRE(m.share("tag", dir.path().string(), true).status == MVM_OK);
  refused(m.share("tag", dir.path().string(), true), MVM_ERR_BUSY);
  refused(m.share("", dir.path().string(), true), MVM_ERR_INVALID);
  refused(m.share(std::string(36, 't'), dir.path().string(), true), MVM_ERR_INVALID);
  refused(m.share("relative", "etc", true), MVM_ERR_INVALID);
  refused(m.share("gone", "/nonexistent", true), MVM_ERR_NOT_FOUND);
  refused(m.share("file", (dir.path() / "file").string(), true), MVM_ERR_INVALID);
  MVM_EXPECT(m.list().vms(0).shares_size() == 1);
}

MVM_PLUGIN_CHECK("a share that is taken away is gone for the guest", "share", "", shares_vm) {
  const TempDir dir;
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  MVM_SKIP_UNLESS("extension mvm.unshare-dir/1 and service share", m.has_extension(MVM_EXT_UNSHARE_DIR) && port);
  MVM_REQUIRE(m.share("work", dir.path().string(), true).status == MVM_OK);
  GuestFiles guest(m, *port);
  MVM_REQUIRE(guest.sees("work"));
  MVM_EXPECT(m.unshare("work").status == MVM_OK);
  MVM_EXPECT(guest.sees_no_more("work"));
  MVM_EXPECT(starts_with(guest.read("work", "x"), "ERR "));
  const Outcome again = m.unshare("work");
  MVM_EXPECT(again.status == MVM_ERR_NOT_FOUND);
  MVM_EXPECT(contains(again.error, "work"));
}

}  // namespace

void link_share_checks() {}

}  // namespace mvm::host::check
