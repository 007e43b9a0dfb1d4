// SPDX-License-Identifier: Apache-2.0
#include "disk/kernel_format.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {
namespace {

using std::string_view_literals::operator""sv;

// The bytes of a file, little-endian numbers among them; whatever lies beyond the end reads as 0 or empty.
class Head {
 public:
  explicit Head(std::string_view bytes) : bytes_(bytes) {}

  bool has(size_t at, std::string_view magic) const {
    return at <= bytes_.size() && bytes_.substr(at, magic.size()) == magic;
  }
  uint64_t number(size_t at, size_t size, bool big_endian = false) const {
    if (at > bytes_.size() || bytes_.size() - at < size) return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < size; ++i) {
      const size_t from = big_endian ? at + i : at + size - 1 - i;
      value = value << 8 | static_cast<unsigned char>(bytes_[from]);
    }
    return value;
  }
  uint16_t u16(size_t at) const { return static_cast<uint16_t>(number(at, 2)); }
  uint32_t u32(size_t at) const { return static_cast<uint32_t>(number(at, 4)); }
  std::string_view text(size_t at, size_t most) const {
    const std::string_view field = bytes_.substr(std::min(at, bytes_.size()), most);
    return field.substr(0, field.find('\0'));
  }

 private:
  std::string_view bytes_;
};

using Found = std::optional<KernelFile>;

struct Architecture {
  uint64_t machine;
  std::string_view name;
};

template <size_t N>
std::string architecture_name(const std::array<Architecture, N>& known, uint64_t machine) {
  for (const auto& a : known) {
    if (a.machine == machine) return std::string(a.name);
  }
  return formatted("machine {}", machine);
}

// e_machine (elf.h)
constexpr std::array<Architecture, 9> elf_machines{{{3, "i386"},
                                                    {8, "mips"},
                                                    {20, "ppc"},
                                                    {21, "ppc64"},
                                                    {22, "s390x"},
                                                    {40, "arm"},
                                                    {62, "x86_64"},
                                                    {183, "arm64"},
                                                    {243, "riscv"}}};
// COFF machine types (PE format specification)
constexpr std::array<Architecture, 6> pe_machines{{{0x14c, "i386"},
                                                   {0x1c2, "arm"},
                                                   {0x8664, "x86_64"},
                                                   {0xaa64, "arm64"},
                                                   {0x5064, "riscv64"},
                                                   {0x6264, "loongarch64"}}};

// Documentation/arch/x86/boot.rst of the kernel.
Found x86_boot_image(const Head& head) {
  if (!head.has(0x1fe, "\x55\xaa"sv) || !head.has(0x202, "HdrS")) return {};
  const unsigned version = head.u16(0x206);
  const bool has_64bit_entry = version >= 0x20c && (head.u16(0x236) & 1) != 0;
  KernelFile kernel;
  kernel.architecture = has_64bit_entry ? "x86_64" : "i386";
  kernel.description = formatted("x86 bzImage, protocol {}.{:02}", version >> 8, version & 0xff);
  kernel.format = v1::KERNEL_FORMAT_BZIMAGE;
  return kernel;
}

// Documentation/arch/arm64/booting.rst. With an EFI stub it also begins as an EFI application does: looked for first.
Found arm64_image(const Head& head) {
  if (!head.has(0x38, "ARM\x64")) return {};
  return KernelFile{v1::KERNEL_FORMAT_ARM64_IMAGE, "arm64", "arm64 Image", {}, {}};
}

std::string pe_architecture(const Head& head) {
  const size_t header = head.u32(0x3c);
  return head.has(header, "PE\0\0"sv) ? architecture_name(pe_machines, head.u16(header + 4)) : "";
}

std::string decompressor(std::string_view compression) {
  constexpr std::array<std::string_view, 6> known = {"gzip", "zstd", "xz", "lz4", "lzma", "lzo"};
  if (std::find(known.begin(), known.end(), compression) == known.end()) return "";
  return compression == "lzo" ? "lzop -dc" : formatted("{} -dc", compression);
}

// drivers/firmware/efi/libstub/zboot-header.S: where the compressed kernel lies, and how it was compressed.
Found efi_zboot(const Head& head) {
  if (!head.has(0, "MZ") || !head.has(4, "zimg")) return {};
  const std::string_view compression = head.text(24, 32);
  const std::string tool = decompressor(compression);
  KernelFile kernel{v1::KERNEL_FORMAT_EFI_ZBOOT, pe_architecture(head), "EFI-zboot kernel", {}, {}};
  if (tool.empty()) return kernel;
  kernel.description = formatted("EFI-zboot kernel, {} inside", compression);
  kernel.unpack = formatted("tail -c +{} FILE | head -c {} | {}", uint64_t{head.u32(8)} + 1, head.u32(12), tool);
  return kernel;
}

Found efi_application(const Head& head) {
  if (!head.has(0, "MZ")) return {};
  KernelFile other;
  other.architecture = pe_architecture(head);
  other.description = other.architecture.empty()
                          ? "an MZ executable"
                          : formatted("an EFI application for {} (a unified kernel image?)", other.architecture);
  other.advice = "take the kernel out of it (objcopy -O binary --only-section=.linux FILE linux)";
  return other;
}

// PT_INTERP among the program headers: something for a dynamic linker, which kernels are not.
bool has_interpreter(const Head& head, bool is_64, bool big_endian) {
  constexpr uint64_t pt_interp = 3;
  const uint64_t table = head.number(is_64 ? 0x20 : 0x1c, is_64 ? 8 : 4, big_endian);
  const uint64_t entry_bytes = head.number(is_64 ? 0x36 : 0x2a, 2, big_endian);
  const uint64_t entries = head.number(is_64 ? 0x38 : 0x2c, 2, big_endian);
  if (table > kernel_head_bytes) return false;
  for (uint64_t i = 0; i < std::min<uint64_t>(entries, 64); ++i) {
    if (head.number(table + i * entry_bytes, 4, big_endian) == pt_interp) return true;
  }
  return false;
}

Found elf(const Head& head) {
  if (!head.has(0,
                "\x7f"
                "ELF"))
    return {};
  constexpr uint64_t et_exec = 2;
  constexpr uint64_t et_dyn = 3;
  const bool is_64 = head.number(4, 1) == 2;
  const bool big_endian = head.number(5, 1) == 2;
  const uint64_t type = head.number(0x10, 2, big_endian);
  KernelFile kernel;
  kernel.architecture = architecture_name(elf_machines, head.number(0x12, 2, big_endian));
  if ((type != et_exec && type != et_dyn) || has_interpreter(head, is_64, big_endian)) {
    const bool is_program = type == et_exec || type == et_dyn;
    kernel.description = formatted("an ELF {} for {}", is_program ? "program" : "object", kernel.architecture);
    return kernel;
  }
  kernel.format = v1::KERNEL_FORMAT_ELF;
  kernel.description = formatted("ELF vmlinux for {}", kernel.architecture);
  return kernel;
}

struct Compression {
  std::string_view magic;
  v1::KernelFormat format;
  std::string_view name;
  std::string_view unpack;
};

constexpr std::array<Compression, 6> compressions{{
    {"\x1f\x8b"sv, v1::KERNEL_FORMAT_GZIP, "gzip", "gzip -dc FILE"},
    {"\x28\xb5\x2f\xfd"sv, v1::KERNEL_FORMAT_ZSTD, "zstd", "zstd -dc FILE"},
    {"\xfd"
     "7zXZ\0"sv,
     v1::KERNEL_FORMAT_XZ, "xz", "xz -dc FILE"},
    {"\x02\x21\x4c\x18"sv, v1::KERNEL_FORMAT_LZ4, "lz4", "lz4 -dc FILE"},
    {"\x04\x22\x4d\x18"sv, v1::KERNEL_FORMAT_LZ4, "lz4", "lz4 -dc FILE"},
    {"BZh"sv, v1::KERNEL_FORMAT_BZIP2, "bzip2", "bzip2 -dc FILE"},
}};

Found compressed(const Head& head) {
  for (const auto& c : compressions) {
    if (!head.has(0, c.magic)) continue;
    return KernelFile{c.format, "", formatted("{}-compressed file", c.name), "", std::string(c.unpack)};
  }
  return {};
}

// What people hand over by mistake.
struct Mistake {
  size_t at;
  std::string_view magic;
  std::string_view description;
  std::string_view advice;
};

constexpr std::string_view is_a_disk = "give it as --rootfs";
constexpr std::string_view is_an_initrd = "give it as --initrd";
constexpr std::string_view is_a_package = "unpack it: the kernel is inside, as boot/vmlinuz-*";

constexpr std::array<Mistake, 14> mistakes{{
    {0, "QFI\xfb"sv, "a qcow2 disk image", is_a_disk},
    {0x438, "\x53\xef"sv, "an ext2, ext3 or ext4 file system", is_a_disk},
    {0, "XFSB"sv, "an XFS file system", is_a_disk},
    {0, "hsqs"sv, "a squashfs file system", is_a_disk},
    {0x400, "\xe2\xe1\xf5\xe0"sv, "an EROFS file system", is_a_disk},
    {0x8001, "CD001"sv, "an ISO 9660 image", "take the kernel out of it"},
    {0, "0707"sv, "a cpio archive, such as an initramfs", is_an_initrd},
    {257, "ustar"sv, "a tar archive", "unpack it: the kernel may be inside"},
    {0, "!<arch>\n"sv, "an ar archive, such as a Debian package", is_a_package},
    {0, "\xed\xab\xee\xdb"sv, "an RPM package", is_a_package},
    {0, "PK\x03\x04"sv, "a ZIP archive", "unpack it: the kernel may be inside"},
    {0, "\x27\x05\x19\x56"sv, "a U-Boot uImage", "drop its 64-byte header (tail -c +65 FILE)"},
    {0, "\xd0\x0d\xfe\xed"sv, "a device tree, or a U-Boot FIT image", "take the kernel out of it (dumpimage)"},
    {0, "#!"sv, "a script", ""},
}};

Found mistake(const Head& head) {
  for (const auto& m : mistakes) {
    if (!head.has(m.at, m.magic)) continue;
    return KernelFile{v1::KERNEL_FORMAT_UNSPECIFIED, "", std::string(m.description), std::string(m.advice), ""};
  }
  // Last of all: kernels with the x86 boot sector's signature were found above.
  if (head.has(0x1fe, "\x55\xaa"sv)) {
    return KernelFile{v1::KERNEL_FORMAT_UNSPECIFIED, "", "a disk image with a partition table", std::string(is_a_disk),
                      ""};
  }
  return {};
}

std::string shell_quoted(const std::string& text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./,:@%";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string with_file(std::string command, const std::filesystem::path& path) {
  const size_t at = command.find("FILE");
  return at == std::string::npos ? command : command.replace(at, 4, shell_quoted(path.string()));
}

std::string accepted_formats(const v1::HypervisorInfo& info) {
  std::string names;
  for (const int format : info.kernel_formats()) {
    if (!names.empty()) names += ", ";
    names += kernel_format_name(static_cast<v1::KernelFormat>(format));
  }
  return names;
}

bool accepts(const v1::HypervisorInfo& info, v1::KernelFormat format) {
  const auto& formats = info.kernel_formats();
  return std::find(formats.begin(), formats.end(), format) != formats.end();
}

std::string what_to_do(const std::filesystem::path& path, const KernelFile& kernel, const v1::HypervisorInfo& info) {
  if (!kernel.unpack.empty()) {
    return formatted("decompress it: {} > vmlinux", with_file(kernel.unpack, path));
  }
  if (kernel.format == v1::KERNEL_FORMAT_BZIMAGE && accepts(info, v1::KERNEL_FORMAT_ELF)) {
    return formatted(
        "take the vmlinux out of it, with the kernel tree's scripts/extract-vmlinux: extract-vmlinux {} "
        "> vmlinux",
        shell_quoted(path.string()));
  }
  return "use a kernel that was built as one of these";
}

Result<UniqueFd> open_kernel(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a fifo must not wait.
  UniqueFd fd = open_file(path, O_RDONLY | O_NONBLOCK);
  if (!fd) {
    const int error = errno;
    return fail(ErrorKind::invalid, "{}: {}; --kernel takes a kernel file that this user can read", path.string(),
                error == ENOENT ? "no such file" : errno_words(error));
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return fail(ErrorKind::invalid, "{}: {}", path.string(), errno_words(errno));
  if (S_ISREG(info.st_mode)) return fd;
  return fail(ErrorKind::invalid, "{}: is {}; --kernel takes a kernel file", path.string(),
              S_ISDIR(info.st_mode) ? "a directory" : "not a regular file");
}

Result<std::string> read_head(const std::filesystem::path& path) {
  MVM_TRY(const UniqueFd fd, open_kernel(path));
  std::string head(kernel_head_bytes, '\0');
  size_t size = 0;
  while (size < head.size()) {
    const ssize_t n = ::pread(fd.get(), head.data() + size, head.size() - size, static_cast<off_t>(size));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail(ErrorKind::invalid, "{}: cannot be read: {}", path.string(), errno_words(errno));
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  if (size == 0) return fail(ErrorKind::invalid, "{}: is empty; --kernel takes a kernel file", path.string());
  head.resize(size);
  return head;
}

}  // namespace

KernelFile identify_kernel(std::string_view bytes) {
  const Head head(bytes);
  for (const auto look : {x86_boot_image, arm64_image, efi_zboot, efi_application, elf, compressed, mistake}) {
    if (Found found = look(head)) return *found;
  }
  return {};
}

Result<KernelFile> read_kernel(const std::filesystem::path& path) {
  MVM_TRY(const std::string head, read_head(path));
  KernelFile kernel = identify_kernel(head);
  if (kernel.format != v1::KERNEL_FORMAT_UNSPECIFIED) return kernel;
  if (kernel.description.empty()) {
    return fail(ErrorKind::invalid,
                "{}: is not a kernel that is known here; --kernel takes for instance a bzImage, an "
                "ELF vmlinux or an arm64 Image",
                path.string());
  }
  return fail(ErrorKind::invalid, "{}: is {}, which is not a kernel{}{}", path.string(), kernel.description,
              kernel.advice.empty() ? "" : "; ", with_file(kernel.advice, path));
}

Result<void> check_kernel(const std::filesystem::path& path, const KernelFile& kernel, std::string_view hypervisor,
                          const v1::HypervisorInfo& info) {
  // None listed: the hypervisor does not say, and finds out itself.
  if (info.kernel_formats().empty() || accepts(info, kernel.format)) return {};
  return fail(ErrorKind::invalid, "{}: is of the format {} ({}), and {} takes {}; {}", path.string(),
              kernel_format_name(kernel.format), kernel.description, hypervisor, accepted_formats(info),
              what_to_do(path, kernel, info));
}

std::string_view kernel_format_name(v1::KernelFormat format) {
  switch (format) {
    case v1::KERNEL_FORMAT_BZIMAGE:
      return "bzImage";
    case v1::KERNEL_FORMAT_ELF:
      return "ELF";
    case v1::KERNEL_FORMAT_ARM64_IMAGE:
      return "arm64 Image";
    case v1::KERNEL_FORMAT_EFI_ZBOOT:
      return "EFI-zboot";
    case v1::KERNEL_FORMAT_GZIP:
      return "gzip";
    case v1::KERNEL_FORMAT_ZSTD:
      return "zstd";
    case v1::KERNEL_FORMAT_XZ:
      return "xz";
    case v1::KERNEL_FORMAT_LZ4:
      return "lz4";
    case v1::KERNEL_FORMAT_BZIP2:
      return "bzip2";
    default:
      return "unknown";
  }
}

}  // namespace mvm::host
