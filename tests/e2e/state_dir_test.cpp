// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

constexpr auto everybody_reads = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                                 fs::perms::others_read | fs::perms::others_exec;

// A prefix that mounts a file system of so many bytes there, for this one command and its children.
Args with_small_disk(const fs::path& where, const std::string& size) {
  if (!is_root() || !has_program("unshare")) return {};
  const std::string mount = "mount -t tmpfs -o size=" + size + ",mode=700 none '" + where.string() + "' && exec \"$@\"";
  Args prefix = {"unshare", "-m", "/bin/sh", "-c", mount, "sh"};
  Args look = prefix;
  look.emplace_back("true");
  return Process(look, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}).wait().exit_code == 0 ? prefix : Args();
}

}  // namespace

TEST_CASE("a state directory of somebody else's is refused by name", "[e2e][state]") {
  const Sandbox box;
  const Args nobody = is_root() ? as_nobody() : Args();
  NEEDS("to be root, and another user", !nobody.empty());
  fs::permissions(box.root(), everybody_reads);
  const fs::path theirs = box.directory("theirs");
  fs::permissions(theirs, fs::perms::all);
  const RunOptions as = {.environment = {{"MVM_HOME", theirs.string()}}, .prefix = nobody};
  CHECK_FAILS(box.run(box.boot_arguments("demo"), as), 1, theirs.string() + ": belongs to user 0");
  REQUIRE(::chown(theirs.c_str(), nobody_uid, nobody_uid) == 0);
  CHECK_FAILS(box.run(box.boot_arguments("demo"), {.environment = {{"MVM_HOME", theirs.string()}}}), 1,
              "belongs to user 65534");
}

TEST_CASE("a state directory that others may write is refused", "[e2e][state]") {
  const Sandbox box;
  fs::permissions(box.directory("state"), fs::perms::all);
  CHECK_FAILS(box.boot("demo"), 1, "writable by others");
}

TEST_CASE("a state directory that cannot be written is refused by name", "[e2e][state]") {
  const Sandbox box;
  const Args nobody = is_root() ? as_nobody() : Args();
  NEEDS("another user to be", !is_root() || !nobody.empty());
  fs::permissions(box.root(), everybody_reads);
  const fs::path home = box.root() / "locked" / "state";
  fs::create_directories(home);
  if (is_root()) REQUIRE(::chown(home.c_str(), nobody_uid, nobody_uid) == 0);
  fs::permissions(home, fs::perms::owner_read | fs::perms::owner_exec);
  const RunOptions as = {.environment = {{"MVM_HOME", home.string()}}, .prefix = nobody};
  CHECK_FAILS(box.run(box.boot_arguments("demo"), as), 1, home.string());
  CHECK_FAILS(box.run(box.boot_arguments("demo"), as), 1, "Permission denied");
  CHECK(box.run({"list"}, as).exit_code == 0);
  fs::permissions(home, fs::perms::owner_all);
}

TEST_CASE("a file where the state directory should be is refused by name", "[e2e][state]") {
  const Sandbox box;
  const fs::path file = box.write("state", "a file");
  CHECK_FAILS(box.boot("demo"), 1, file.string() + ": is not a directory");
  CHECK(box.run({"list"}).exit_code == 1);
  CHECK(slurp(file) == "a file");
  fs::remove(file);
  box.directory("state");
  fs::permissions(box.home(), fs::perms::owner_all);
  box.write("state/vms", "a file");
  CHECK_FAILS(box.boot("demo"), 1, "vms: is not a directory");
  CHECK_FAILS(box.run({"list"}), 1, "vms");
  fs::remove(box.home() / "vms");
}

TEST_CASE("a file or a link where a VM's directory should be is no VM", "[e2e][state]") {
  const Sandbox box;
  box.must_boot("other");
  box.write("state/vms/demo", "a file");
  CHECK(box.boot("demo").exit_code == 1);
  CHECK(box.run({"list"}).exit_code == 0);
  CHECK(box.run({"rm", "demo"}).exit_code != 0);
  CHECK(slurp(box.vm("demo")) == "a file");
  fs::remove(box.vm("demo"));
}

TEST_CASE("rm follows no link out of the state directory", "[e2e][state]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"stop", "demo"});
  const fs::path precious = box.directory("precious");
  box.write("precious/data", "keep");
  fs::create_directory_symlink(precious, box.vm("demo") / "link");
  box.must({"rm", "demo"});
  CHECK(slurp(precious / "data") == "keep");
}

TEST_CASE("without a home directory list is empty and boot makes it", "[e2e][state]") {
  const Sandbox box;
  const fs::path deep = box.root() / "not" / "yet" / "there";
  CHECK(box.must({"list", "--home", deep, "--output", "json"}).out == "[]\n");
  CHECK_FALSE(fs::exists(box.root() / "not"));
  box.must(box.boot_arguments("demo", {"--home", deep}));
  box.must({"stop", "demo", "--home", deep});
  box.must({"rm", "demo", "--home", deep});
}

TEST_CASE("a stop and a pause whose record cannot be written say so", "[e2e][state]") {
  const Sandbox box;
  box.must_boot("demo");
  fs::create_directories(box.vm("demo") / "record.json.new" / "in the way");
  CHECK_FAILS(box.run({"pause", "demo"}), 1, "demo: is paused, but ");
  CHECK_FAILS(box.run({"resume", "demo"}), 1, "demo: is running, but ");
  const Outcome stopped = box.run({"stop", "demo"});
  CHECK_FAILS(stopped, 1, "demo: has stopped, but ");
  CHECK_FAILS(stopped, 1, "record.json: cannot be written");
  CHECK(box.state("demo") == "crashed");
  fs::remove_all(box.vm("demo") / "record.json.new");
  box.must({"boot", "demo"});
}

TEST_CASE("a state directory on a full disk fails the boot and leaves nothing", "[e2e][state]") {
  const Sandbox box;
  const fs::path home = box.directory("small");
  for (const char* size : {"4k", "16k", "64k"}) {
    INFO(size);
    const Args prefix = with_small_disk(home, size);
    NEEDS("to mount a small file system", !prefix.empty());
    const fs::path image = box.write("root.img", some_bytes(1 << 20));
    const Outcome booted = box.run(box.boot_arguments("demo", {"--home", home, "--rootfs", image}), {.prefix = prefix});
    INFO(booted.err);
    CHECK(booted.exit_code == 1);
    CHECK_THAT(booted.err, ContainsSubstring("space") || ContainsSubstring("written"));
    CHECK(box.processes().empty());
  }
}

TEST_CASE("a disk that fills up while the VM runs costs console output and not the VM", "[e2e][state]") {
  const Sandbox box;
  const fs::path home = box.directory("small");
  const Args prefix = with_small_disk(home, "256k");
  NEEDS("to mount a small file system", !prefix.empty());
  Process run = box.start({"run", "demo", "--hypervisor", "mock", "--kernel", box.kernel(), "--home", home, "--option",
                           "console-lines=100000"},
                          {.prefix = prefix});
  REQUIRE(run.wait_err("demo: running"));
  REQUIRE(run.wait_err("console output is lost"));
  run.send_signal(15);
  CHECK(run.wait(20s).exit_code == 0);
}

TEST_CASE("a directory for sockets whose path is too long is refused by name", "[e2e][state]") {
  const Sandbox box;
  const fs::path deep = box.directory(std::string(90, 'd'));
  CHECK_FAILS(box.run(box.boot_arguments("demo"), {.environment = {{"MVM_RUNTIME_DIR", deep.string()}}}), 2,
              "MVM_RUNTIME_DIR");
}

TEST_CASE("a deep state directory is no matter for the sockets", "[e2e][state]") {
  const Sandbox box;
  const fs::path deep = box.directory(std::string(120, 'd')) / std::string(120, 'e');
  box.must(box.boot_arguments("demo", {"--home", deep}));
  CHECK(box.run({"vsock-connect", "demo", "7", "--home", deep}, {.input = "x"}).out == "x");
  box.must({"stop", "demo", "--home", deep});
  box.must({"rm", "demo", "--home", deep});
}

}  // namespace mvm::test
