// SPDX-License-Identifier: Apache-2.0
#include "plugin/library_format.hpp"

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {
namespace {

// ELF's numbers (System V ABI, chapter 4; elf.h is not there on a Mac).
constexpr uint16_t elf_shared_object = 3;     // ET_DYN
constexpr uint32_t elf_dynamic_symbols = 11;  // SHT_DYNSYM
constexpr size_t elf_header_size = 64;
constexpr size_t elf_section_size = 64;
constexpr size_t elf_symbol_size = 24;

// Mach-O's (mach-o/loader.h), little-endian 64-bit, and its universal container, which is big-endian.
constexpr uint32_t macho_64 = 0xfeedfacf;
constexpr uint32_t macho_universal = 0xbebafeca;

struct Machine {
  uint16_t elf;
  uint32_t macho;
  const char* name;
};
constexpr Machine machines[] = {
    {62, 0x01000007, "x86-64"}, {183, 0x0100000c, "arm64"}, {243, 0, "RISC-V"},
    {3, 7, "x86 (32-bit)"},     {40, 12, "ARM (32-bit)"},
};
#if defined(__x86_64__)
constexpr const Machine& ours = machines[0];
#elif defined(__aarch64__)
constexpr const Machine& ours = machines[1];
#else
constexpr const Machine& ours = machines[2];
#endif

template <class T>
std::optional<T> at(const std::string& bytes, uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string machine_name(uint32_t number, bool elf) {
  for (const auto& m : machines) {
    if ((elf ? m.elf : m.macho) == number) return m.name;
  }
  return formatted("machine {}", number);
}

Result<std::string> head_of(const std::filesystem::path& path) {
  const UniqueFd fd = open_file(path, O_RDONLY | O_NONBLOCK);
  if (!fd) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
  struct stat s {};
  if (::fstat(fd.get(), &s) != 0) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
  if (S_ISDIR(s.st_mode)) return fail(ErrorKind::failed, "{}: is a directory, not a library (MVM-P16)", path.string());
  if (!S_ISREG(s.st_mode)) return fail(ErrorKind::failed, "{}: is not a regular file (MVM-H8)", path.string());
  if (s.st_size == 0) return fail(ErrorKind::failed, "{}: is empty, not a library (MVM-P16)", path.string());
  std::string head(elf_header_size, '\0');
  const ssize_t n = ::read(fd.get(), head.data(), head.size());
  head.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return head;
}

Result<void> check_elf(const std::filesystem::path& path, const std::string& head) {
#if defined(__APPLE__)
  return fail(ErrorKind::failed, "{}: is an ELF file, for Linux: this system takes Mach-O (MVM-P16)", path.string());
#else
  const auto type = at<uint16_t>(head, 16);
  const auto machine = at<uint16_t>(head, 18);
  if (head.size() < elf_header_size || head[4] != 2 || head[5] != 1) {
    return fail(ErrorKind::failed, "{}: is an ELF file, but none of 64 bits, little-endian (MVM-P16)", path.string());
  }
  if (*machine != ours.elf) {
    return fail(ErrorKind::failed, "{}: is for {}, this machine is {} (MVM-P16)", path.string(),
                machine_name(*machine, true), ours.name);
  }
  if (*type != elf_shared_object) {
    return fail(ErrorKind::failed, "{}: is an ELF file, but no shared library (MVM-P16)", path.string());
  }
  return {};
#endif
}

Result<void> check_macho(const std::filesystem::path& path, const std::string& head) {
#if defined(__APPLE__)
  const auto machine = at<uint32_t>(head, 4);
  if (at<uint32_t>(head, 0) == macho_universal || (machine && *machine == ours.macho)) return {};
  return fail(ErrorKind::failed, "{}: is for {}, this machine is {} (MVM-P16)", path.string(),
              machine_name(machine.value_or(0), false), ours.name);
#else
  (void)head;
  return fail(ErrorKind::failed, "{}: is a Mach-O file, for macOS: this system takes ELF (MVM-P16)", path.string());
#endif
}

std::string text_at(const std::string& bytes, uint64_t offset) {
  if (offset >= bytes.size()) return {};
  const size_t limit = bytes.size() - offset;
  return {bytes.data() + offset, ::strnlen(bytes.data() + offset, limit)};
}

// The names of one table of dynamic symbols: global or weak, visible, defined.
void add_names(const std::string& bytes, uint64_t table, uint64_t size, uint64_t strings,
               std::vector<std::string>& names) {
  for (uint64_t n = 0; n < size / elf_symbol_size; ++n) {
    const uint64_t symbol = table + n * elf_symbol_size;
    const auto name = at<uint32_t>(bytes, symbol);
    const auto info = at<uint8_t>(bytes, symbol + 4);
    const auto visibility = at<uint8_t>(bytes, symbol + 5);
    const auto section = at<uint16_t>(bytes, symbol + 6);
    if (!section) return;
    const bool open = (*info >> 4) != 0 && ((*visibility & 3) == 0 || (*visibility & 3) == 3);
    if (open && *section != 0) names.push_back(text_at(bytes, strings + *name));
  }
}

}  // namespace

Result<void> check_library_format(const std::filesystem::path& path) {
  MVM_TRY(const std::string head, head_of(path));
  const auto magic = at<uint32_t>(head, 0);
  if (head.substr(0, 4) ==
      "\x7f"
      "ELF")
    return check_elf(path, head);
  if (magic && (*magic == macho_64 || *magic == macho_universal)) return check_macho(path, head);
  return fail(ErrorKind::failed, "{}: is not a library (MVM-P16)", path.string());
}

std::optional<std::vector<std::string>> exported_symbols(const std::filesystem::path& path) {
  constexpr size_t largest = size_t{512} << 20;
  const auto read = read_file(path, largest);
  if (!read || read->size() < elf_header_size ||
      read->substr(0, 6) !=
          "\x7f"
          "ELF\x02\x01")
    return std::nullopt;
  const std::string& bytes = *read;
  const uint64_t sections = *at<uint64_t>(bytes, 40);
  const uint16_t count = *at<uint16_t>(bytes, 60);
  std::vector<std::string> names;
  for (uint16_t n = 0; n < count; ++n) {
    const uint64_t section = sections + n * elf_section_size;
    const auto type = at<uint32_t>(bytes, section + 4);
    const auto link = at<uint32_t>(bytes, section + 40);
    if (!link) return std::nullopt;
    if (*type != elf_dynamic_symbols) continue;
    const auto strings = at<uint64_t>(bytes, sections + uint64_t{*link} * elf_section_size + 24);
    if (!strings) return std::nullopt;
    add_names(bytes, *at<uint64_t>(bytes, section + 24), *at<uint64_t>(bytes, section + 32), *strings, names);
  }
  return names;
}

}  // namespace mvm::host
