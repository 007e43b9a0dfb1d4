// SPDX-License-Identifier: Apache-2.0
#include "kernel_file.hpp"

#include <cstdint>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {
namespace {

using std::string_view_literals::operator""sv;

bool has(std::string_view head, size_t at, std::string_view magic) {
  return at <= head.size() && head.substr(at, magic.size()) == magic;
}

uint32_t u16(std::string_view head, size_t at) {
  if (head.size() < at + 2) return 0;
  return static_cast<unsigned char>(head[at]) | uint32_t{static_cast<unsigned char>(head[at + 1])} << 8;
}

enum class Kind { unknown, bzimage, elf, arm64_image, gzip };

// Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst of the kernel.
Kind kind_of(std::string_view head) {
  if (has(head, 0x1fe, "\x55\xaa"sv) && has(head, 0x202, "HdrS"sv)) return Kind::bzimage;
  if (has(head, 0x38, "ARM\x64"sv)) return Kind::arm64_image;
  if (has(head, 0, "\x7f\x45\x4c\x46"sv)) return Kind::elf;
  return has(head, 0, "\x1f\x8b"sv) ? Kind::gzip : Kind::unknown;
}

// e_machine (elf.h)
std::string elf_architecture(uint32_t machine) {
  switch (machine) {
    case 3:
      return "i386";
    case 40:
      return "arm";
    case 62:
      return "x86-64";
    case 183:
      return "arm64";
    case 243:
      return "riscv";
    default:
      return "machine " + std::to_string(machine);
  }
}

std::string architecture_of(Kind kind, std::string_view head) {
  if (kind == Kind::bzimage) return "x86-64";
  if (kind == Kind::arm64_image) return "arm64";
  return kind == Kind::elf ? elf_architecture(u16(head, 0x12)) : "";
}

bool can_boot(Kind kind, Architecture host) {
  if (host == Architecture::x86_64) return kind == Kind::bzimage || kind == Kind::elf;
  return kind == Kind::arm64_image || kind == Kind::gzip;  // QEMU unpacks gzip there, and there alone
}

}  // namespace

void check_kernel_head(const std::string& path, std::string_view head, Architecture host) {
  const std::string subject = "kernel " + path + ": ";
  const Kind kind = kind_of(head);
  const std::string architecture = architecture_of(kind, head);
  if (!architecture.empty() && architecture != name_of(host)) {
    throw Error(MVM_ERR_INVALID,
                subject + "is for " + architecture + ", this host runs " + std::string(name_of(host)) + " guests");
  }
  if (can_boot(kind, host)) return;
  if (kind == Kind::gzip) throw Error(MVM_ERR_INVALID, subject + "is gzip-compressed; unpack it first: gzip -dc");
  const char* wanted = host == Architecture::x86_64 ? "a bzImage or an ELF vmlinux" : "an arm64 Image, gzipped or not";
  throw Error(MVM_ERR_INVALID, subject + "is not a kernel that QEMU can start; it takes " + wanted);
}

}  // namespace mvm::qemu
