// SPDX-License-Identifier: Apache-2.0
// Shared directories, as the guest sees them.
#include <filesystem>

#include "contract/support/guest_files.hpp"
#include "contract/support/needs.hpp"
#include "contract/support/running_vm.hpp"
#include "contract/support/stream.hpp"
#include "mvm/ext/unshare_dir.h"

using namespace mvm;
using namespace mvm::test;
namespace fs = std::filesystem;

namespace {}  // namespace

TEST_CASE("a directory shared at boot is read by the guest, byte for byte", "[contract][share]") {
  const TempDir dir;
  Machine m;
  const auto port = subject().service("share");
  NEEDS("share_dir_at_boot and service share", m.info().share_dir_at_boot() && port);
  const std::string content = some_bytes(300'000);
  write_file(dir.path() / "data.bin", content);
  v1::VmSpec spec = m.spec();
  v1::Share* share = spec.add_shares();
  share->set_tag("workdir");
  share->set_path(dir.path().string());
  share->set_read_only(true);
  REQUIRE(m.boot(spec).error == "");
  GuestFiles guest(m, *port);
  REQUIRE(guest.sees("workdir"));
  CHECK(guest.shares() == std::vector<std::string>{"workdir ro"});
  CHECK(guest.list("workdir") == std::vector<std::string>{"f 300000 data.bin"});
  CHECK((guest.read("workdir", "data.bin") == content));
  REQUIRE(m.list().vms(0).shares_size() == 1);
  CHECK(m.list().vms(0).shares(0).tag() == "workdir");
}

TEST_CASE("a directory shared while the VM runs is read and written by the guest", "[contract][share][running]") {
  const TempDir dir;
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  NEEDS("share_dir_while_running and service share", m.info().share_dir_while_running() && port);
  GuestFiles guest(m, *port);
  CHECK(guest.shares().empty());
  REQUIRE(m.share("work", dir.path().string(), false).error == "");
  REQUIRE(guest.sees("work"));
  fs::create_directory(dir.path() / "sub dir");
  const std::string content = some_bytes(200'000, 3);
  CHECK(guest.write("work", "sub%20dir/new", content) == "OK 200000");
  CHECK((read_file(dir.path() / "sub dir" / "new") == content));
  CHECK(guest.write("work", "sub%20dir/new", "short") == "OK 5");
  CHECK(read_file(dir.path() / "sub dir" / "new") == "short");
  CHECK(guest.list("work sub%20dir") == std::vector<std::string>{"f 5 new"});
  check_no_rule_was_broken(m);
}

TEST_CASE("a guest cannot write into a read-only share", "[contract][share][running]") {
  const TempDir dir;
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  NEEDS("share_dir_while_running and service share", m.info().share_dir_while_running() && port);
  write_file(dir.path() / "file", "as it was");
  REQUIRE(m.share("ro", dir.path().string(), true).status == MVM_OK);
  GuestFiles guest(m, *port);
  REQUIRE(guest.sees("ro"));
  CHECK(guest.write("ro", "file", "changed") == "ERR read-only");
  CHECK(guest.write("ro", "new", "made") == "ERR read-only");
  CHECK(guest.read("ro", "file") == "as it was");
  CHECK_FALSE(fs::exists(dir.path() / "new"));
}

TEST_CASE("nothing leads a guest out of a share", "[contract][share][running]") {
  const TempDir outside;
  write_file(outside.path() / "secret", "not yours");
  const TempDir dir;
  fs::create_symlink(outside.path(), dir.path() / "link");
  fs::create_symlink(outside.path() / "secret", dir.path() / "file");
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  NEEDS("share_dir_while_running and service share", m.info().share_dir_while_running() && port);
  REQUIRE(m.share("work", dir.path().string(), false).status == MVM_OK);
  GuestFiles guest(m, *port);
  REQUIRE(guest.sees("work"));
  const std::string up = "../" + outside.path().filename().string() + "/secret";
  for (const std::string& path : {up, "x/../" + up, std::string("link/secret"), std::string("file")}) {
    CHECK_THAT(guest.read("work", path), StartsWith("ERR "));
  }
  CHECK_THAT(guest.write("work", "link/new", "x"), StartsWith("ERR "));
  CHECK_THAT(guest.write("work", "../new", "x"), StartsWith("ERR "));
  CHECK_FALSE(fs::exists(outside.path() / "new"));
}

TEST_CASE("a share that cannot be is refused with a reason", "[contract][share][MVM-P8][running]") {
  const TempDir dir;
  write_file(dir.path() / "file", "");
  const RunningVm vm;
  Machine& m = *vm;
  NEEDS("share_dir_while_running", m.info().share_dir_while_running());
  const auto refused = [](const Outcome& outcome, mvm_status status) {
    CHECK(outcome.status == status);
    CHECK_THAT(outcome.error, StartsWith("share "));
  };
  REQUIRE(m.share("tag", dir.path().string(), true).status == MVM_OK);
  refused(m.share("tag", dir.path().string(), true), MVM_ERR_BUSY);
  refused(m.share("", dir.path().string(), true), MVM_ERR_INVALID);
  refused(m.share(std::string(36, 't'), dir.path().string(), true), MVM_ERR_INVALID);
  refused(m.share("relative", "etc", true), MVM_ERR_INVALID);
  refused(m.share("gone", "/nonexistent", true), MVM_ERR_NOT_FOUND);
  refused(m.share("file", (dir.path() / "file").string(), true), MVM_ERR_INVALID);
  CHECK(m.list().vms(0).shares_size() == 1);
}

TEST_CASE("a share that is taken away is gone for the guest", "[contract][share][running]") {
  const TempDir dir;
  const RunningVm vm;
  Machine& m = *vm;
  const auto port = subject().service("share");
  NEEDS("extension mvm.unshare-dir/1 and service share", m.has_extension(MVM_EXT_UNSHARE_DIR) && port);
  REQUIRE(m.share("work", dir.path().string(), true).status == MVM_OK);
  GuestFiles guest(m, *port);
  REQUIRE(guest.sees("work"));
  CHECK(m.unshare("work").status == MVM_OK);
  CHECK(guest.sees_no_more("work"));
  CHECK_THAT(guest.read("work", "x"), StartsWith("ERR "));
  const Outcome again = m.unshare("work");
  CHECK(again.status == MVM_ERR_NOT_FOUND);
  CHECK_THAT(again.error, ContainsSubstring("work"));
}
