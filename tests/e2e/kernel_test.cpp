// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

std::string padded(std::string head) {
  head.resize(4096, '\0');
  return head;
}

Outcome boot_with(const Sandbox& box, const fs::path& kernel) {
  return box.run({"--hypervisor", "mock", "boot", "demo", "--kernel", kernel});
}

}  // namespace

TEST_CASE("a kernel that is no readable file is refused by its path", "[e2e][kernel]") {
  const Sandbox box;
  CHECK_FAILS(boot_with(box, "/nowhere/vmlinuz"), 2, "/nowhere/vmlinuz: no such file");
  CHECK_FAILS(boot_with(box, box.write("empty", "")), 2, "empty: is empty");
  CHECK_FAILS(boot_with(box, box.directory("dir")), 2, "dir: is a directory");
  CHECK_FAILS(boot_with(box, "/dev/null"), 2, "/dev/null: is not a regular file");
  const fs::path fifo = box.root() / "fifo";
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK_FAILS(boot_with(box, fifo), 2, "fifo: is not a regular file");
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
}

TEST_CASE("a kernel that this user may not read is refused by its path", "[e2e][kernel]") {
  const Sandbox box;
  const fs::path secret = box.write("secret", "kernel");
  fs::permissions(secret, fs::perms::none);
  Args prefix;
  if (is_root()) {
    prefix = as_nobody();
    NEEDS("another user to be", !prefix.empty());
    fs::permissions(box.root(), fs::perms::all);
  }
  const fs::path home = box.root() / "nobody";
  CHECK_FAILS(box.run({"--hypervisor", "mock", "--home", home, "boot", "demo", "--kernel", secret},
                      {.environment = {{"MVM_RUNTIME_DIR", (box.root() / "nobodys").string()}}, .prefix = prefix}),
              2, "secret: Permission denied");
}

TEST_CASE("a compressed kernel is refused with what it is and how to unpack it", "[e2e][kernel]") {
  const Sandbox box;
  const fs::path gzip = box.write("vmlinux.gz", padded("\x1f\x8b\x08"));
  CHECK_FAILS(boot_with(box, gzip), 2, "is of the format gzip");
  CHECK_FAILS(boot_with(box, gzip), 2, "gzip -dc " + gzip.string() + " > vmlinux");
  CHECK_FAILS(boot_with(box, gzip), 2, "mock takes bzImage, ELF, arm64 Image");
  CHECK_FAILS(boot_with(box, box.write("k.zst", padded("\x28\xb5\x2f\xfd"))), 2, "zstd -dc");
  CHECK_FAILS(boot_with(box, box.write("k.xz", padded(std::string("\xfd"
                                                                  "7zXZ\0",
                                                                  6)))),
              2, "xz -dc");
}

TEST_CASE("an EFI zboot kernel is refused with the command that takes the kernel out", "[e2e][kernel]") {
  const Sandbox box;
  std::string image = padded(std::string("MZ\0\0zimg\x00\x10\x00\x00\x00\x20\x00\x00", 16));
  image.replace(24, 4, "gzip");
  const fs::path path = box.write("vmlinuz.efi", image);
  CHECK_FAILS(boot_with(box, path), 2, "EFI-zboot");
  CHECK_FAILS(boot_with(box, path), 2, "tail -c +4097 " + path.string() + " | head -c 8192 | gzip -dc");
}

TEST_CASE("something that is no kernel is refused with what to do", "[e2e][kernel]") {
  const Sandbox box;
  CHECK_FAILS(boot_with(box, box.write("garbage", some_bytes(100'000))), 2, "is not a kernel that is known here");
  CHECK_FAILS(boot_with(box, box.write("a.qcow2", padded("QFI\xfb"))), 2,
              "qcow2 disk image, which is not a kernel; give it as --rootfs");
  CHECK_FAILS(boot_with(box, box.write("initrd", padded("070701"))), 2, "give it as --initrd");
  CHECK_FAILS(boot_with(box, box.write("script", "#!/bin/sh\n")), 2, "a script");
  CHECK_FAILS(boot_with(box, box.write("byte", "x")), 2, "byte: is not a kernel");
}

TEST_CASE("kernels of the formats that the hypervisor lists boot", "[e2e][kernel]") {
  const Sandbox box;
  std::string elf = padded(
      "\x7f"
      "ELF\x02\x01\x01");
  elf[0x10] = 2;
  elf[0x12] = 62;
  std::string arm64 = padded("");
  arm64.replace(0x38, 4, "ARM\x64");
  int n = 0;
  for (const auto& [name, image] : {std::pair{"vmlinux", elf}, std::pair{"Image", arm64}}) {
    INFO(name);
    box.must({"--hypervisor", "mock", "boot", "demo" + std::to_string(++n), "--kernel", box.write(name, image)});
  }
}

TEST_CASE("a kernel named from where the user stands is found from everywhere later", "[e2e][kernel]") {
  const Sandbox box;
  box.kernel();
  const auto in = [](const fs::path& directory) {
    return RunOptions{.prefix = {"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", directory}};
  };
  box.must({"--hypervisor", "mock", "boot", "demo", "--kernel", "../bzImage"}, in(box.directory("sub")));
  CHECK(json_value(box.inspect("demo"), "kernel") == box.kernel().string());
  box.must({"stop", "demo"});
  box.must({"boot", "demo"}, in("/"));
}

TEST_CASE("an initrd that is no file is refused by its path", "[e2e][kernel]") {
  const Sandbox box;
  CHECK_FAILS(box.boot("demo", {"--initrd", "/nowhere/initrd"}), 2, "/nowhere/initrd: no such file");
  CHECK_FAILS(box.boot("demo", {"--initrd", box.write("empty", "")}), 2, "empty: is empty");
  CHECK_FAILS(box.boot("demo", {"--initrd", box.directory("dir")}), 2, "dir: is not a file");
}

}  // namespace mvm::test
