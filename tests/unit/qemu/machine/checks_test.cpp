// SPDX-License-Identifier: Apache-2.0
// What is refused before QEMU is started, and in which words.
#include "machine/find_program.hpp"
#include "machine/kernel_file.hpp"
#include "machine/limits.hpp"
#include "machine/options.hpp"
#include "machine/spec_check.hpp"

#include <sys/stat.h>

#include "support/catch.hpp"
#include "vm_for_test.hpp"

using namespace mvm;
using namespace mvm::qemu;
using namespace mvm::test;

namespace {

std::string bzimage() {
  std::string head(0x300, '\0');
  head.replace(0x1fe, 2, "\x55\xaa");
  head.replace(0x202, 4, "HdrS");
  return head;
}

std::string arm64_image() {
  std::string head(0x300, '\0');
  head.replace(0x38, 4, "ARM\x64");
  return head;
}

std::string elf(char machine) {
  std::string head(0x300, '\0');
  head.replace(0, 4, "\x7f\x45\x4c\x46");
  head[0x12] = machine;
  return head;
}

template <class Fn>
std::string refusal(Fn fn, mvm_status* status = nullptr) {
  try {
    fn();
  } catch (const Error& e) {
    if (status != nullptr) *status = e.status();
    return e.what();
  }
  return "";
}

std::string of_kernel(const std::string& head, Architecture host) {
  return refusal([&] { check_kernel_head("/x", head, host); });
}

Options parsed(const std::string& key, const std::string& value) {
  google::protobuf::Map<std::string, std::string> options;
  options[key] = value;
  return parse_options(options);
}

// A spec that passes, and its files.
struct Files {
  Files() {
    write_file(dir / "vmlinuz", bzimage());
    write_file(dir / "disk", "content");
    spec.set_name("demo");
    spec.set_kernel(dir / "vmlinuz");
    spec.set_cpus(1);
    spec.set_memory_bytes(uint64_t{64} << 20);
    disk = spec.add_disks();
    disk->set_path(dir / "disk");
    disk->set_format(v1::DISK_FORMAT_RAW);
  }
  std::string refused(bool backing_files = false) {
    return refusal([&] { check_spec(spec, backing_files, Architecture::x86_64); }, &status);
  }
  TempDir dir;
  v1::VmSpec spec;
  v1::Disk* disk;
  mvm_status status = MVM_OK;
};

}  // namespace

TEST_CASE("a kernel for another architecture is refused by what it is for") {
  CHECK(of_kernel(bzimage(), Architecture::x86_64).empty());
  CHECK(of_kernel(elf(62), Architecture::x86_64).empty());
  CHECK(of_kernel(arm64_image(), Architecture::arm64).empty());
  CHECK(of_kernel("\x1f\x8b gzip", Architecture::arm64).empty());
  CHECK(of_kernel(arm64_image(), Architecture::x86_64) == "kernel /x: is for arm64, this host runs x86-64 guests");
  CHECK(of_kernel(bzimage(), Architecture::arm64) == "kernel /x: is for x86-64, this host runs arm64 guests");
  CHECK(of_kernel(elf(static_cast<char>(183)), Architecture::x86_64) ==
        "kernel /x: is for arm64, this host runs x86-64 guests");
  CHECK(of_kernel(elf(3), Architecture::x86_64) == "kernel /x: is for i386, this host runs x86-64 guests");
  CHECK(of_kernel(elf(9), Architecture::x86_64) == "kernel /x: is for machine 9, this host runs x86-64 guests");
}

TEST_CASE("a file that is no kernel is refused with what would be one") {
  CHECK(of_kernel("hello", Architecture::x86_64) ==
        "kernel /x: is not a kernel that QEMU can start; it takes a bzImage or an ELF vmlinux");
  CHECK(of_kernel("", Architecture::arm64) ==
        "kernel /x: is not a kernel that QEMU can start; it takes an arm64 Image, gzipped or not");
  CHECK(of_kernel("\x1f\x8b", Architecture::x86_64) == "kernel /x: is gzip-compressed; unpack it first: gzip -dc");
  CHECK_FALSE(of_kernel(elf(static_cast<char>(183)), Architecture::arm64).empty());
}

TEST_CASE("a spec with all in order passes") {
  Files files;
  CHECK(files.refused() == "");
  CHECK(block_devices(files.spec) == std::vector<bool>{false});
}

TEST_CASE("what is wrong with a spec is said by its subject") {
  Files files;
  mvm_status expected = MVM_ERR_INVALID;
  std::string words;
  const std::string dir = files.dir.path();
  SECTION("a feature that nobody knows") {
    files.spec.add_required_features("time-travel");
    expected = MVM_ERR_UNSUPPORTED;
    words = "feature \"time-travel\": required, and unknown to the qemu plugin (MVM-P12)";
  }
  SECTION("a name") {
    files.spec.set_name("../x");
    words = "vm \"../x\": is not a name of the form [a-z0-9][a-z0-9-]{0,62}";
  }
  SECTION("cpus") {
    files.spec.set_cpus(256);
    words = "cpus: 256 is not 1 to 255";
  }
  SECTION("memory") {
    files.spec.set_memory_bytes(1);
    words =
        "memory: 1 bytes are not 64 MiB to " + std::to_string(max_memory_bytes() >> 20) + " MiB, which this host has";
  }
  SECTION("no kernel") {
    files.spec.clear_kernel();
    words = "kernel: none was given";
  }
  SECTION("a kernel that is not there") {
    files.spec.set_kernel("/nonexistent");
    expected = MVM_ERR_NOT_FOUND;
    words = "kernel /nonexistent: No such file or directory";
  }
  SECTION("an initrd that is empty") {
    write_file(files.dir / "initrd", "");
    files.spec.set_initrd(files.dir / "initrd");
    words = "initrd " + dir + "/initrd: is empty";
  }
  SECTION("a disk that is a directory") {
    files.disk->set_path(dir);
    files.disk->set_read_only(true);
    words = "disk " + dir + ": is a directory";
  }
  SECTION("a disk that is neither file nor device") {
    REQUIRE(::mkfifo((files.dir / "fifo").c_str(), 0600) == 0);
    files.disk->set_path(files.dir / "fifo");
    words = "disk " + dir + "/fifo: is neither a regular file nor a block device";
  }
  SECTION("a disk that is empty") {
    write_file(files.disk->path(), "");
    words = "disk " + dir + "/disk: is empty";
  }
  SECTION("a raw disk called qcow2") {
    files.disk->set_format(v1::DISK_FORMAT_QCOW2);
    words = "disk " + dir + "/disk: is not a qcow2 image";
  }
  SECTION("an overlay over nothing") {
    files.disk->set_base("/nonexistent");
    expected = MVM_ERR_NOT_FOUND;
    words = "disk /nonexistent: No such file or directory";
  }
  SECTION("an overlay of another hypervisor's") {
    files.disk->set_base(files.disk->path());
    words = "disk " + dir + "/disk: is not a qcow2 image";
  }
  SECTION("an overlay that is only read") {
    files.disk->set_base(files.disk->path());
    files.disk->set_read_only(true);
    words = "disk " + dir + "/disk: is an overlay, which cannot be read-only";
  }
  SECTION("too many disks") {
    for (int n = 0; n < max_disks; ++n) *files.spec.add_disks() = *files.disk;
    words = "disks: 17 are more than 16";
  }
  SECTION("a tag twice") {
    for (int n = 0; n < 2; ++n) files.spec.add_shares()->set_tag("work");
    expected = MVM_ERR_BUSY;
    words = "share work: this tag is in use";
  }
  SECTION("a tag too long") {
    files.spec.add_shares()->set_tag(std::string(36, 't'));
    words = "share \"" + std::string(36, 't') + "\": a tag has 1 to 35 bytes";
  }
  SECTION("more shares than there are ports") {
    for (int n = 0; n < 9; ++n) files.spec.add_shares()->set_tag("t" + std::to_string(n));
    words = "shares: 9 are more than 8";
  }
  SECTION("a card's address that is a group's") {
    files.spec.mutable_network()->set_enabled(true);
    files.spec.mutable_network()->set_mac("53:54:00:12:34:56");
    words = "network: mac \"53:54:00:12:34:56\" is not a card's address, such as 52:54:00:12:34:56";
  }
  CHECK(files.refused() == words);
  CHECK(files.status == expected);
}

TEST_CASE("an overlay may be required, and be empty at first") {
  Files files;
  files.spec.add_required_features("disk-overlay");
  files.disk->set_base(files.disk->path());
  files.disk->set_path(files.dir / "overlay");
  write_file(files.disk->path(), "");
  CHECK(files.refused() == "");
}

TEST_CASE("a qcow2 image that takes its data from elsewhere is refused, unless it is allowed to") {
  Files files;
  files.disk->set_format(v1::DISK_FORMAT_QCOW2);
  std::string head(104, '\0');
  head.replace(0, 8, std::string("QFI\xfb\0\0\0\x03", 8));
  write_file(files.disk->path(), head);
  CHECK(files.refused() == "");
  SECTION("a backing file") { head[15] = 104; }
  SECTION("a data file") { head[79] = 4; }
  write_file(files.disk->path(), head);
  CHECK_THAT(files.refused(), ContainsSubstring("takes its data from another file of this host"));
  CHECK(files.refused(true) == "");
}

TEST_CASE("options are what the words say") {
  CHECK(parsed("accel", "kvm").accelerator == AcceleratorWish::kvm);
  CHECK(parsed("accel", "tcg").accelerator == AcceleratorWish::tcg);
  CHECK(parsed("accel", "auto").accelerator == AcceleratorWish::automatic);
  CHECK(parsed("qemu", "/opt/qemu").qemu == "/opt/qemu");
  CHECK(parsed("virtiofsd", "/opt/virtiofsd").virtiofsd == "/opt/virtiofsd");
  CHECK(parsed("backing-files", "allow").backing_files);
  CHECK(describe_options().size() == 4);
}

TEST_CASE("an option that is none, or a value that is none, is refused by its key") {
  CHECK(refusal([] { parsed("accel", "x"); }) == "option accel: \"x\" is not kvm, tcg or auto");
  CHECK(refusal([] { parsed("qemu", "qemu"); }) == "option qemu: \"qemu\" is not a program's absolute path");
  CHECK(refusal([] { parsed("backing-files", "1"); }) == "option backing-files: \"1\" is not allow or refuse");
  CHECK(refusal([] { parsed("speed", "1"); }) ==
        "option speed: unknown; qemu knows accel, backing-files, qemu, virtiofsd");
}

TEST_CASE("a program is found in the absolute directories of a path, in their order") {
  const TempDir dir;
  for (const std::string name : {"a", "b"}) {
    ::mkdir((dir / name).c_str(), 0700);
    write_file(dir / name + "/prog", "#!");
  }
  const std::string path = "relative::" + dir / "none" + ":" + dir / "a" + ":" + dir / "b";
  CHECK(find_program("prog", path).empty());  // none is executable yet
  ::chmod((dir / "b/prog").c_str(), 0700);
  CHECK(find_program("prog", path) == dir / "b/prog");
  ::chmod((dir / "a/prog").c_str(), 0700);
  CHECK(find_program("prog", path) == dir / "a/prog");
  CHECK(find_program("prog", "").empty());
}

TEST_CASE("how QEMU is installed goes by the package tool that is there") {
  const auto with = [](const std::string& tool) { return [tool](const std::string& path) { return path == tool; }; };
  CHECK(install_command(Architecture::x86_64, with("/usr/bin/apt-get")) == "apt-get install qemu-system-x86");
  CHECK(install_command(Architecture::arm64, with("/usr/bin/apt-get")) == "apt-get install qemu-system-arm");
  CHECK(install_command(Architecture::x86_64, with("/usr/bin/pacman")) == "pacman -S qemu-system-x86");
  CHECK(install_command(Architecture::x86_64, with("")).empty());
}
