// SPDX-License-Identifier: Apache-2.0
#include "disk/kernel_format.hpp"

#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "unit/base/temp_dir.hpp"

using namespace mvm::host;
using mvm::test::TempDir;
namespace v1 = mvm::v1;

namespace {

// A file's beginning, put together byte by byte.
class Bytes {
 public:
  explicit Bytes(size_t size = 4096) : bytes_(size, '\0') {}
  Bytes& text(size_t at, std::string_view text) {
    bytes_.replace(at, text.size(), text);
    return *this;
  }
  Bytes& number(size_t at, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; ++i) bytes_[at + i] = static_cast<char>(value >> (8 * i));
    return *this;
  }
  const std::string& str() const { return bytes_; }

 private:
  std::string bytes_;
};

Bytes bzimage(unsigned version = 0x20f, unsigned xloadflags = 1) {
  return Bytes()
      .text(0, "MZ")
      .number(0x1fe, 0xaa55, 2)
      .text(0x202, "HdrS")
      .number(0x206, version, 2)
      .number(0x211, 1, 1)
      .number(0x236, xloadflags, 2);
}

Bytes elf(unsigned machine, unsigned type = 2, unsigned segment = 1) {
  return Bytes()
      .text(0,
            "\x7f"
            "ELF\x02\x01\x01")
      .number(0x10, type, 2)
      .number(0x12, machine, 2)
      .number(0x20, 64, 8)
      .number(0x36, 56, 2)
      .number(0x38, 1, 2)
      .number(64, segment, 4);
}

Bytes pe(unsigned machine) {
  return Bytes().text(0, "MZ").number(0x3c, 0x80, 4).text(0x80, "PE").number(0x84, machine, 2);
}

Bytes zboot(std::string_view compression) {
  return pe(0xaa64).text(4, "zimg").number(8, 0x10000, 4).number(12, 12345, 4).text(24, compression);
}

std::string read_error(const TempDir& dir, const std::string& bytes) {
  const auto path = dir.write("kernel", bytes);
  const auto kernel = read_kernel(path);
  REQUIRE_FALSE(kernel);
  CHECK(kernel.error().kind == ErrorKind::invalid);
  REQUIRE_THAT(kernel.error().message, mvm::test::StartsWith(path.string() + ": "));
  return kernel.error().message.substr(path.string().size() + 2);
}

v1::HypervisorInfo takes(const std::vector<v1::KernelFormat>& formats) {
  v1::HypervisorInfo info;
  for (const auto f : formats) info.add_kernel_formats(f);
  return info;
}

std::string check_error(const std::filesystem::path& path, const std::string& bytes,
                        const std::vector<v1::KernelFormat>& formats) {
  const auto ok = check_kernel(path, identify_kernel(bytes), "apple-vz", takes(formats));
  REQUIRE_FALSE(ok);
  CHECK(ok.error().kind == ErrorKind::invalid);
  return ok.error().message;
}

}  // namespace

TEST_CASE("kernels are known by their first bytes") {
  struct Example {
    std::string bytes;
    v1::KernelFormat format;
    std::string architecture;
    std::string description;
  };
  const std::vector<Example> examples = {
      {bzimage().str(), v1::KERNEL_FORMAT_BZIMAGE, "x86_64", "x86 bzImage, protocol 2.15"},
      {bzimage(0x20a, 0).str(), v1::KERNEL_FORMAT_BZIMAGE, "i386", "x86 bzImage, protocol 2.10"},
      {elf(62).str(), v1::KERNEL_FORMAT_ELF, "x86_64", "ELF vmlinux for x86_64"},
      {elf(183, 3).str(), v1::KERNEL_FORMAT_ELF, "arm64", "ELF vmlinux for arm64"},
      {elf(4711).str(), v1::KERNEL_FORMAT_ELF, "machine 4711", "ELF vmlinux for machine 4711"},
      {Bytes().text(0x38, "ARMd").str(), v1::KERNEL_FORMAT_ARM64_IMAGE, "arm64", "arm64 Image"},
      {pe(0xaa64).text(0x38, "ARMd").str(), v1::KERNEL_FORMAT_ARM64_IMAGE, "arm64", "arm64 Image"},
      {zboot("zstd").str(), v1::KERNEL_FORMAT_EFI_ZBOOT, "arm64", "EFI-zboot kernel, zstd inside"},
      {zboot("new").str(), v1::KERNEL_FORMAT_EFI_ZBOOT, "arm64", "EFI-zboot kernel"},
      {Bytes().text(0, "\x1f\x8b\x08").str(), v1::KERNEL_FORMAT_GZIP, "", "gzip-compressed file"},
      {Bytes().text(0, "\x28\xb5\x2f\xfd").str(), v1::KERNEL_FORMAT_ZSTD, "", "zstd-compressed file"},
      {Bytes()
           .text(0,
                 "\xfd"
                 "7zXZ")
           .str(),
       v1::KERNEL_FORMAT_XZ, "", "xz-compressed file"},
      {Bytes().text(0, "\x02\x21\x4c\x18").str(), v1::KERNEL_FORMAT_LZ4, "", "lz4-compressed file"},
      {Bytes().text(0, "\x04\x22\x4d\x18").str(), v1::KERNEL_FORMAT_LZ4, "", "lz4-compressed file"},
      {Bytes().text(0, "BZh91AY").str(), v1::KERNEL_FORMAT_BZIP2, "", "bzip2-compressed file"},
  };
  for (const auto& e : examples) {
    INFO(e.description);
    const KernelFile kernel = identify_kernel(e.bytes);
    CHECK(kernel.format == e.format);
    CHECK(kernel.architecture == e.architecture);
    CHECK(kernel.description == e.description);
  }
}

TEST_CASE("this machine's own kernel is recognised, where it can be read") {
  for (const auto* path : {"/vmlinuz", "/boot/vmlinuz", "/boot/vmlinuz-linux"}) {
    if (::access(path, R_OK) != 0) continue;
    const auto kernel = read_kernel(path);
    INFO(path << ": " << (kernel ? kernel->description : kernel.error().message));
    CHECK(kernel);
  }
  SUCCEED("as many as there were");
}

TEST_CASE("what is handed over by mistake is refused with what it is and what to do") {
  const TempDir dir;
  const std::string file = (dir / "kernel").string();
  const std::string rootfs = "; give it as --rootfs";
  CHECK(read_error(dir, "#!/bin/sh\necho hi\n") == "is a script, which is not a kernel");
  CHECK(read_error(dir, Bytes().number(0x438, 0xef53, 2).str()) ==
        "is an ext2, ext3 or ext4 file system, which is not a kernel" + rootfs);
  CHECK(read_error(dir, Bytes().text(0, "QFI\xfb").str()) == "is a qcow2 disk image, which is not a kernel" + rootfs);
  CHECK(read_error(dir, Bytes().number(0x1fe, 0xaa55, 2).str()) ==
        "is a disk image with a partition table, which is not a kernel" + rootfs);
  CHECK(read_error(dir, "070701000") ==
        "is a cpio archive, such as an initramfs, which is not a kernel; give it as --initrd");
  CHECK(read_error(dir, Bytes().text(257, "ustar").str()) ==
        "is a tar archive, which is not a kernel; unpack it: the kernel may be inside");
  CHECK(read_error(dir, "!<arch>\ndebian-binary") ==
        "is an ar archive, such as a Debian package, which is not a kernel; unpack it: the kernel is inside, as "
        "boot/vmlinuz-*");
  CHECK(read_error(dir, Bytes().text(0, "\x27\x05\x19\x56").str()) ==
        "is a U-Boot uImage, which is not a kernel; drop its 64-byte header (tail -c +65 " + file + ")");
  CHECK(read_error(dir, pe(0x8664).str()) ==
        "is an EFI application for x86_64 (a unified kernel image?), which is not a kernel; take the kernel out of it "
        "(objcopy -O binary --only-section=.linux " +
            file + " linux)");
  CHECK(read_error(dir, elf(62, 3, 3).str()) == "is an ELF program for x86_64, which is not a kernel");
  CHECK(read_error(dir, elf(62, 1).str()) == "is an ELF object for x86_64, which is not a kernel");
}

TEST_CASE("a file that is nothing known is refused with examples of what is taken") {
  const TempDir dir;
  CHECK(read_error(dir, "hello, world") ==
        "is not a kernel that is known here; --kernel takes for instance a bzImage, an ELF vmlinux or an arm64 Image");
  CHECK(read_error(dir, "") == "is empty; --kernel takes a kernel file");
}

TEST_CASE("a kernel that is missing, a directory, a fifo or unreadable is refused and never waited for") {
  const TempDir dir;
  const auto message = [](const std::filesystem::path& path) {
    const auto kernel = read_kernel(path);
    REQUIRE_FALSE(kernel);
    CHECK(kernel.error().kind == ErrorKind::invalid);
    return kernel.error().message;
  };
  CHECK(message(dir / "none") ==
        (dir / "none").string() + ": no such file; --kernel takes a kernel file that this user can read");
  CHECK(message(dir.path()) == dir.path().string() + ": is a directory; --kernel takes a kernel file");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(message(dir / "fifo") == (dir / "fifo").string() + ": is not a regular file; --kernel takes a kernel file");
  if (::geteuid() == 0) {
    SUCCEED("root reads everything");
    return;
  }
  const auto secret = dir.write("secret", bzimage().str());
  ::chmod(secret.c_str(), 0);
  CHECK(message(secret) ==
        secret.string() + ": Permission denied; --kernel takes a kernel file that this user can read");
}

TEST_CASE("a kernel of an accepted format passes, and any does where the hypervisor lists none") {
  const KernelFile kernel = identify_kernel(bzimage().str());
  CHECK(check_kernel("k", kernel, "qemu", takes({v1::KERNEL_FORMAT_ELF, v1::KERNEL_FORMAT_BZIMAGE})));
  CHECK(check_kernel("k", kernel, "qemu", takes({})));
}

TEST_CASE("a compressed kernel is refused with the command that decompresses it") {
  CHECK(check_error("/boot/vmlinuz", Bytes().text(0, "\x1f\x8b").str(), {v1::KERNEL_FORMAT_ARM64_IMAGE}) ==
        "/boot/vmlinuz: is of the format gzip (gzip-compressed file), and apple-vz takes arm64 Image; decompress it: "
        "gzip -dc /boot/vmlinuz > vmlinux");
  CHECK(check_error("/tmp/my kernel", Bytes().text(0, "\x28\xb5\x2f\xfd").str(),
                    {v1::KERNEL_FORMAT_ELF, v1::KERNEL_FORMAT_BZIMAGE}) ==
        "/tmp/my kernel: is of the format zstd (zstd-compressed file), and apple-vz takes ELF, bzImage; decompress it: "
        "zstd -dc '/tmp/my kernel' > vmlinux");
  CHECK(check_error("vmlinuz", zboot("gzip").str(), {v1::KERNEL_FORMAT_ARM64_IMAGE}) ==
        "vmlinuz: is of the format EFI-zboot (EFI-zboot kernel, gzip inside), and apple-vz takes arm64 Image; "
        "decompress it: tail -c +65537 vmlinuz | head -c 12345 | gzip -dc > vmlinux");
}

TEST_CASE("a bzImage where an ELF kernel is wanted is refused with the tool that extracts it") {
  CHECK(
      check_error("bzImage", bzimage().str(), {v1::KERNEL_FORMAT_ELF}) ==
      "bzImage: is of the format bzImage (x86 bzImage, protocol 2.15), and apple-vz takes ELF; take the vmlinux out of "
      "it, with the kernel tree's scripts/extract-vmlinux: extract-vmlinux bzImage > vmlinux");
  CHECK(check_error("bzImage", bzimage().str(), {v1::KERNEL_FORMAT_ARM64_IMAGE}) ==
        "bzImage: is of the format bzImage (x86 bzImage, protocol 2.15), and apple-vz takes arm64 Image; use a kernel "
        "that was built as one of these");
}

TEST_CASE("a file cut short at any byte is looked at safely") {
  for (const auto& whole : {bzimage().str(), elf(62, 3, 3).str(), zboot("zstd").str(), pe(0x8664).str()}) {
    for (size_t n = 0; n < 0x300; ++n) identify_kernel(std::string_view(whole).substr(0, n));
  }
  // Offsets that lead nowhere.
  identify_kernel(Bytes().text(0, "MZ").number(0x3c, 0xffffffff, 4).str());
  identify_kernel(elf(62).number(0x20, 0xffffffffffffffff, 8).number(0x38, 0xffff, 2).str());
  SUCCEED("no sanitizer spoke up");
}
