// SPDX-License-Identifier: Apache-2.0
#include "plugin/library_format.hpp"

#include <fstream>

#include <sys/stat.h>

#include "../base/temp_dir.hpp"
#include "base/file.hpp"
#include "base/process.hpp"
#include "support/catch.hpp"

using namespace mvm::host;
using mvm::test::ContainsSubstring;

namespace {

std::string refusal(const std::string& bytes) {
  const mvm::test::TempDir dir;
  const auto path = dir.path() / "file";
  std::ofstream(path, std::ios::binary) << bytes;
  const auto checked = check_library_format(path);
  return checked ? "" : checked.error().message;
}

std::string own_bytes() { return *read_file(own_executable(), size_t{1} << 30); }

}  // namespace

TEST_CASE("what is no library is told by what it is, without being loaded", "[MVM-P16]") {
  CHECK_THAT(refusal(""), ContainsSubstring("is empty, not a library (MVM-P16)"));
  CHECK_THAT(refusal("x"), ContainsSubstring("is not a library (MVM-P16)"));
  CHECK_THAT(refusal("#!/bin/sh\necho no\n"), ContainsSubstring("is not a library (MVM-P16)"));
  CHECK_THAT(check_library_format("/").error().message, ContainsSubstring("is a directory"));
  CHECK_THAT(check_library_format("/dev/null").error().message, ContainsSubstring("is not a regular file"));
  CHECK_FALSE(check_library_format("/nonexistent"));
}

#if defined(__linux__)
TEST_CASE("an ELF file of another machine, word size or kind, or cut short, is refused by that", "[MVM-P16]") {
  std::string elf = own_bytes().substr(0, 64);
  elf[16] = 3;  // ET_DYN
  CHECK(refusal(elf).empty());
  std::string other = elf;
  other[18] = static_cast<char>(elf[18] == 62 ? 183 : 62);
  CHECK_THAT(refusal(other), ContainsSubstring("is for ") && ContainsSubstring(", this machine is "));
  other[18] = 99;
  CHECK_THAT(refusal(other), ContainsSubstring("is for machine 99"));
  other = elf;
  other[4] = 1;
  CHECK_THAT(refusal(other), ContainsSubstring("none of 64 bits"));
  other = elf;
  other[16] = 1;  // ET_REL
  CHECK_THAT(refusal(other), ContainsSubstring("no shared library"));
  for (size_t size = 4; size < elf.size(); ++size) CHECK_FALSE(refusal(elf.substr(0, size)).empty());
  CHECK_THAT(refusal("\xcf\xfa\xed\xfe" + std::string(60, '\0')), ContainsSubstring("for macOS"));
}

TEST_CASE("a damaged ELF file has no symbols that could be told, and costs nothing") {
  const mvm::test::TempDir dir;
  const auto path = dir.path() / "file";
  const std::string elf = own_bytes();
  for (size_t at = 0; at < 64; ++at) {
    for (const char value : {'\0', '\x7f', '\xff'}) {
      std::string damaged = elf.substr(0, 65536);
      damaged[at] = value;
      std::ofstream(path, std::ios::binary) << damaged;
      const auto names = exported_symbols(path);
      if (names) CHECK(names->size() <= damaged.size());
    }
  }
}
#endif
