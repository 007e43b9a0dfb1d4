// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <fstream>

#include <sys/stat.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

struct Seen {
  std::string content;
  timespec written;
};

Seen look(const fs::path& path) {
  struct stat s {};
  REQUIRE(::stat(path.c_str(), &s) == 0);
#if defined(__APPLE__)
  return {slurp(path), s.st_mtimespec};
#else
  return {slurp(path), s.st_mtim};
#endif
}

void check_untouched(const fs::path& path, const Seen& before) {
  const Seen now = look(path);
  CHECK(now.content == before.content);
  CHECK(now.written.tv_sec == before.written.tv_sec);
  CHECK(now.written.tv_nsec == before.written.tv_nsec);
}

}  // namespace

TEST_CASE("a clone has the image's bytes and keeps its holes", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", uint64_t{256} << 20, "block of data", {0, 100, 255});
  box.must_boot("demo", {"--rootfs", image});
  const fs::path own = box.vm("demo") / "rootfs.img";
  CHECK(json_value(box.inspect("demo"), "rootfs_mode") == "clone");
  CHECK(fs::file_size(own) == uint64_t{256} << 20);
  CHECK(allocated_bytes(own) < (uint64_t{4} << 20));
  const Outcome compared = Process({"cmp", image, own}, {"PATH=/usr/bin:/bin"}).wait();
  CHECK(compared.exit_code == 0);
  struct stat is {};
  REQUIRE(::stat(own.c_str(), &is) == 0);
  CHECK((is.st_mode & 0777) == 0600);
}

TEST_CASE("a clone is made once and is the VM's own from then on", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "image");
  box.must_boot("demo", {"--rootfs", image});
  box.must({"stop", "demo"});
  box.write("state/vms/demo/rootfs.img", "the guest's own");
  box.must({"boot", "demo"});
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--rootfs", image});  // the same is no other one
  CHECK(slurp(box.vm("demo") / "rootfs.img") == "the guest's own");
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--fresh"});
  CHECK((slurp(box.vm("demo") / "rootfs.img") == slurp(image)));
}

TEST_CASE("a VM boots on its own clone after the image is gone", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "image");
  box.must_boot("demo", {"--rootfs", image});
  box.must({"stop", "demo"});
  fs::remove(image);
  box.must({"boot", "demo"});
  CHECK(box.state("demo") == "running");
  box.must({"stop", "demo"});
  CHECK_FAILS(box.run({"boot", "demo", "--fresh"}), 2, "root.img: no such file");
  CHECK_THAT(slurp(box.vm("demo") / "rootfs.img"), StartsWith("image"));
}

TEST_CASE("an image beyond ulimit -f fails the boot with that reason and leaves nothing half-made", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 8 << 20, "image");
  const RunOptions small_files = {.prefix = {"/bin/sh", "-c", "ulimit -f 2048; exec \"$@\"", "sh"}};
  CHECK_FAILS(box.run(box.boot_arguments("demo", {"--rootfs", image}), small_files), 1,
              "rootfs.img: is beyond what one file may have here (see ulimit -f); nothing was left behind");
  CHECK_FALSE(fs::exists(box.vm("demo") / "rootfs.img"));
  CHECK_FALSE(fs::exists(box.vm("demo") / "rootfs.img.partial"));
  // It has no disk, and so nothing to lose by another one.
  box.must({"boot", "demo", "--rootfs", box.disk("small.img", 1 << 20, "small")}, small_files);
  CHECK_THAT(slurp(box.vm("demo") / "rootfs.img"), StartsWith("small"));
}

TEST_CASE("another rootfs takes --fresh", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path first = box.disk("first.img", 1 << 20, "first");
  const fs::path second = box.disk("second.img", 1 << 20, "second");
  box.must_boot("demo", {"--rootfs", first});
  box.must({"stop", "demo"});
  CHECK_FAILS(box.run({"boot", "demo", "--rootfs", second}), 2, "--fresh");
  CHECK_FAILS(box.run({"boot", "demo", "--rootfs-mode", "direct"}), 2, "--fresh");
  CHECK_THAT(slurp(box.vm("demo") / "rootfs.img"), StartsWith("first"));
  box.must({"boot", "demo", "--rootfs", second, "--fresh"});
  CHECK_THAT(slurp(box.vm("demo") / "rootfs.img"), StartsWith("second"));
}

TEST_CASE("a fresh boot that fails never leaves an old disk under a new image's name", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path first = box.disk("first.img", 1 << 20, "first");
  const fs::path second = box.disk("second.img", 1 << 20, "second");
  box.must_boot("demo", {"--rootfs", first});
  box.must({"stop", "demo"});
  const Fd taken = listen_tcp(0);
  const std::string publish = std::to_string(port_of(taken)) + ":80";
  CHECK(box.run({"boot", "demo", "--fresh", "--rootfs", second, "--publish", publish}).exit_code == 1);
  const Outcome again = box.run({"boot", "demo", "--publish", ""});
  const std::string recorded =
      fs::path(json_value(box.inspect("demo").substr(box.inspect("demo").find("\"spec\"")), "rootfs")).filename();
  const std::string disk = slurp(box.vm("demo") / "rootfs.img").substr(0, 6);
  INFO("exit code " << again.exit_code << ": " << again.err << "; the record says " << recorded << ", the disk "
                    << disk);
  if (again.exit_code == 0) CHECK(((recorded == "second.img") == (disk == "second")));
}

TEST_CASE("direct writes the image itself and locks it against a second VM", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  box.must_boot("one", {"--rootfs", image, "--rootfs-mode", "direct"});
  CHECK_FALSE(fs::exists(box.vm("one") / "rootfs.img"));
  CHECK_THAT(box.inspect("one"), ContainsSubstring("\"rootfs\": \"" + image.string() + "\""));
  CHECK_FAILS(box.boot("two", {"--rootfs", image, "--rootfs-mode", "direct"}), 1, image.string() + ": is in use");
  CHECK_FAILS(box.boot("three", {"--rootfs", image, "--rootfs-mode", "readonly"}), 1, image.string() + ": is in use");
  CHECK_FAILS(box.boot("four", {"--rootfs", image}), 1, image.string() + ": is in use");
  CHECK_FAILS(box.boot("five", {"--disk", image}), 1, image.string() + ": is in use");
  const fs::path link = box.root() / "link.img";
  fs::create_hard_link(image, link);
  CHECK_FAILS(box.boot("six", {"--rootfs", link, "--rootfs-mode", "direct"}), 1, "is in use");
  box.must({"stop", "one"});
  box.must({"boot", "two"});
}

TEST_CASE("a direct image is free again when its runner was killed", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  box.must_boot("one", {"--rootfs", image, "--rootfs-mode", "direct"});
  box.kill_runner("one");
  box.must_boot("two", {"--rootfs", image, "--rootfs-mode", "direct"});
}

TEST_CASE("readonly is shared by VMs and never written", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "read-only");
  const Seen before = look(image);
  fs::permissions(image, fs::perms::owner_read);
  box.must_boot("one", {"--rootfs", image, "--rootfs-mode", "readonly"});
  box.must_boot("two", {"--rootfs", image, "--rootfs-mode", "readonly"});
  CHECK_FAILS(box.boot("three", {"--disk", image}), 1, "is in use");
  box.must({"stop", "--all"});
  check_untouched(image, before);
  CHECK_FALSE(fs::exists(box.vm("one") / "rootfs.img"));
}

TEST_CASE("VMs share one image by overlays, none writes it, and each keeps its own", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "base");
  const Seen before = look(image);
  fs::permissions(image, fs::perms::owner_read);
  for (const char* name : {"one", "two"}) box.must_boot(name, {"--rootfs", image, "--rootfs-mode", "overlay"});
  const fs::path own = box.vm("one") / "rootfs.overlay";
  CHECK_THAT(box.inspect("one"), ContainsSubstring("\"rootfs\": \"" + own.string() + "\""));
  CHECK_FALSE(fs::exists(box.vm("one") / "rootfs.img"));
  struct stat is {};
  REQUIRE(::stat(own.c_str(), &is) == 0);
  CHECK((is.st_mode & 0777) == 0600);
  box.must({"stop", "one"});
  box.must({"boot", "one"});
  struct stat still {};
  REQUIRE(::stat(own.c_str(), &still) == 0);
  CHECK(still.st_ino == is.st_ino);
  box.must({"stop", "--all"});
  check_untouched(image, before);
}

TEST_CASE("an image that VMs run over cannot be written by another", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  box.must_boot("one", {"--rootfs", image, "--rootfs-mode", "overlay"});
  box.must_boot("reader", {"--rootfs", image, "--rootfs-mode", "readonly"});
  box.must_boot("copy", {"--rootfs", image});
  const std::string words = image.string() + ": the overlay of one lies over it";
  CHECK_FAILS(box.boot("two", {"--rootfs", image, "--rootfs-mode", "direct"}), 1, words);
  box.must({"stop", "one"});
  CHECK_FAILS(box.boot("two", {"--rootfs", image, "--rootfs-mode", "direct"}), 1, words);
  const fs::path link = box.root() / "link.img";
  fs::create_hard_link(image, link);
  CHECK_FAILS(box.boot("two", {"--disk", link}), 1, link.string() + ": the overlay of one lies over it");
  CHECK_FAILS(box.run({"inspect", "two"}), 3, "no such VM");
  box.must_boot("two", {"--disk", link.string() + ":ro"});
  box.must({"stop", "--all"});
  box.must({"boot", "one", "--fresh", "--rootfs-mode", "direct"});  // its own overlay is no hindrance
}

TEST_CASE("an image that changed below an overlay is refused, and what the VM wrote is kept", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20, "base");
  const auto time = fs::last_write_time(image);
  box.must_boot("demo", {"--rootfs", image, "--rootfs-mode", "overlay"});
  box.must({"stop", "demo"});
  const fs::path own = box.vm("demo") / "rootfs.overlay";
  const std::string written = slurp(own);
  box.disk("root.img", 1 << 20, "other");
  fs::last_write_time(image, time + 5s);
  CHECK_FAILS(box.run({"boot", "demo"}), 1, "root.img: has changed since demo began to write over it");
  CHECK(slurp(own) == written);
  box.disk("root.img", 1 << 20, "base");
  fs::last_write_time(image, time);
  box.must({"boot", "demo"});
  CHECK(slurp(own) == written);
  box.must({"stop", "demo"});
  fs::last_write_time(image, time + 5s);
  box.must({"boot", "demo", "--fresh"});
  box.must({"stop", "demo"});
  box.must({"boot", "demo"});
}

TEST_CASE("an overlay whose image is gone is refused by the image's name, and boots when a link leads to it",
          "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  box.must_boot("demo", {"--rootfs", image, "--rootfs-mode", "overlay"});
  box.must({"stop", "demo"});
  fs::rename(image, box.root() / "away.img");
  CHECK_FAILS(box.run({"boot", "demo"}), 2, image.string() + ": no such file");
  fs::create_symlink(box.root() / "away.img", image);
  box.must({"boot", "demo"});
}

TEST_CASE("an overlay that was cut off before its VM ran is made anew", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  Process boot = box.start(
      box.boot_arguments("demo", {"--rootfs", image, "--rootfs-mode", "overlay", "--option", "boot-delay=60000"}));
  const fs::path own = box.vm("demo") / "rootfs.overlay";
  REQUIRE(eventually([&] { return !slurp(own).empty(); }));
  box.kill_runner("demo");
  CHECK(boot.wait().exit_code != 0);
  std::ofstream(own) << "half an overlay";  // the mock refuses one that is not its own
  box.must({"boot", "demo", "--option", "boot-delay=0"});
  CHECK_THAT(slurp(own), StartsWith("mock overlay of " + image.string()));
}

TEST_CASE("a VM that goes from a clone to an overlay with --fresh keeps no clone", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  box.must_boot("demo", {"--rootfs", image});
  box.must({"stop", "demo"});
  CHECK_FAILS(box.run({"boot", "demo", "--rootfs-mode", "overlay"}), 2, "--fresh");
  CHECK(fs::exists(box.vm("demo") / "rootfs.img"));
  box.must({"boot", "demo", "--rootfs-mode", "overlay", "--fresh"});
  CHECK_FALSE(fs::exists(box.vm("demo") / "rootfs.img"));
  CHECK(fs::exists(box.vm("demo") / "rootfs.overlay"));
}

TEST_CASE("one image twice in one VM is refused unless both only read it", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  CHECK(box.boot("demo", {"--disk", image, "--disk", image}).exit_code != 0);
  box.must_boot("other", {"--disk", image.string() + ":ro", "--disk", image.string() + ":ro"});
}

TEST_CASE("a rootfs or a disk that is no image is refused by its path", "[e2e][rootfs]") {
  const Sandbox box;
  for (const char* option : {"--rootfs", "--disk"}) {
    CHECK_FAILS(box.boot("demo", {option, "/nowhere/root.img"}), 2, "/nowhere/root.img: no such file");
    CHECK_FAILS(box.boot("demo", {option, box.write("empty", "")}), 2, "empty: is empty");
    CHECK_FAILS(box.boot("demo", {option, box.directory("dir")}), 2, "dir: is a directory");
    CHECK_FAILS(box.boot("demo", {option, "/dev/null"}), 2, "/dev/null: is neither a file nor a disk");
  }
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
}

TEST_CASE("the clone has a progress bar on a terminal and none elsewhere", "[e2e][rootfs]") {
  const Sandbox box;
  const fs::path image = box.write("big.img", some_bytes(200 << 20));
  const Outcome piped = box.boot("one", {"--rootfs", image});
  CHECK(piped.exit_code == 0);
  CHECK(piped.err.empty());
  NEEDS("script(1)", has_program("script"));
  std::string command = MVM_E2E_MVMHOST;
  for (const auto& argument : box.boot_arguments("two", {"--rootfs", image})) command += " '" + argument + "'";
  const Outcome shown = box.run_program({"script", "-qec", command, "/dev/null"});
  INFO(shown.out);
  // A file system that clones in an instant has nothing to show.
  if (allocated_bytes(box.vm("two") / "rootfs.img") > 0 && shown.out.empty()) {
    WARN("no progress bar was seen: the copy was too quick for one");
  } else {
    CHECK_THAT(shown.out, ContainsSubstring("copying the rootfs [") && ContainsSubstring("% of 200 MiB"));
  }
}

TEST_CASE("a runner killed while it clones leaves no half a disk behind", "[e2e][rootfs][crash]") {
  const Sandbox box;
  const fs::path image = box.write("big.img", some_bytes(64 << 20));
  fs::resize_file(image, uint64_t{200} << 20);
  for (int round = 0; round < 3; ++round) {
    const std::string name = "demo" + std::to_string(round);
    Process boot = box.start(box.boot_arguments(name, {"--rootfs", image}));
    REQUIRE(eventually(
        [&] { return fs::exists(box.vm(name) / "rootfs.img.partial") || fs::exists(box.vm(name) / "rootfs.img"); }));
    box.kill_runner(name);
    boot.wait();
    CHECK(box.state(name) == "crashed");
    CHECK(box.run({"boot", name}).exit_code == 0);
    CHECK(fs::file_size(box.vm(name) / "rootfs.img") == fs::file_size(image));
    CHECK_FALSE(fs::exists(box.vm(name) / "rootfs.img.partial"));
    const Outcome compared = Process({"cmp", image, box.vm(name) / "rootfs.img"}, {"PATH=/usr/bin:/bin"}).wait();
    CHECK(compared.exit_code == 0);
    box.must({"stop", name});
    box.must({"rm", name});
  }
}

}  // namespace mvm::test
