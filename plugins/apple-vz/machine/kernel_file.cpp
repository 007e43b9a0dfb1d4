// SPDX-License-Identifier: Apache-2.0
#include "kernel_file.hpp"

#include <iterator>
#include <optional>

#include "mvm/hypervisor.hpp"

namespace mvm::apple_vz {
namespace {

using std::string_view_literals::operator""sv;

struct Compression {
  std::string_view magic;
  const char* name;
  const char* unpack;
};

constexpr Compression compressions[] = {
    {"\x1f\x8b"sv, "gzip", "gzip -dc"},
    {"\x28\xb5\x2f\xfd"sv, "zstd", "zstd -dc"},
    {"\xfd"
     "7zXZ\0"sv,
     "xz", "xz -dc"},
    {"\x02\x21\x4c\x18"sv, "lz4", "lz4 -dc"},
    {"BZh"sv, "bzip2", "bzip2 -dc"},
};

bool has(std::string_view head, size_t at, std::string_view magic) {
  return at <= head.size() && head.substr(at, magic.size()) == magic;
}

// Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of the kernel.
std::optional<Architecture> image_architecture(std::string_view head) {
  if (has(head, 0x1fe, "\x55\xaa"sv) && has(head, 0x202, "HdrS"sv)) return Architecture::x86_64;
  if (has(head, 0x38, "ARM\x64"sv)) return Architecture::arm64;
  return std::nullopt;
}

// drivers/firmware/efi/libstub/zboot-header.S: an arm64 kernel that unpacks itself, under UEFI alone.
bool is_zboot(std::string_view head) { return has(head, 0, "MZ"sv) && has(head, 4, "zimg"sv); }

std::string wanted(Architecture host) {
  return host == Architecture::arm64 ? "an uncompressed arm64 Image (arch/arm64/boot/Image)" : "a bzImage";
}

[[noreturn]] void refuse(const std::string& text) { throw Error(MVM_ERR_INVALID, text); }

}  // namespace

void check_kernel_head(const std::string& path, std::string_view head, Architecture host) {
  const std::string subject = "kernel " + path + ": ";
  for (const Compression& compression : compressions) {
    if (!has(head, 0, compression.magic)) continue;
    refuse(subject + "is compressed with " + compression.name + ", and Virtualization.framework takes " + wanted(host) +
           "; unpack it first: " + compression.unpack + " " + path + " >Image");
  }
  if (is_zboot(head)) {
    refuse(subject + "is an EFI-zboot kernel, which only UEFI starts, and Virtualization.framework takes " +
           wanted(host) + "; take the Image that it was made of");
  }
  const auto architecture = image_architecture(head);
  if (architecture && *architecture != host) {
    refuse(subject + "is for " + std::string(name_of(*architecture)) + ", this Mac runs " + std::string(name_of(host)) +
           " guests");
  }
  if (architecture) return;
  if (has(head, 0, "\x7f\x45\x4c\x46"sv)) {
    refuse(subject + "is an ELF vmlinux; Virtualization.framework takes " + wanted(host));
  }
  refuse(subject + "is not a kernel that Virtualization.framework starts; it takes " + wanted(host));
}

}  // namespace mvm::apple_vz
