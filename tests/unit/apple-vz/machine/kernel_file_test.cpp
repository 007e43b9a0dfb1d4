// SPDX-License-Identifier: Apache-2.0
#include "machine/kernel_file.hpp"

#include <string>

#include "mvm/hypervisor.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::apple_vz;
using std::string_literals::operator""s;

namespace {

std::string head(const std::string& text, size_t at = 0) {
  std::string bytes(1024, '\0');
  return bytes.replace(at, text.size(), text);
}

const std::string arm64_image = head("ARM\x64", 0x38);

std::string bzimage() {
  std::string bytes = head("\x55\xaa", 0x1fe);
  return bytes.replace(0x202, 4, "HdrS");
}

// What the refusal says; "" when it is taken.
std::string refusal(const std::string& bytes, Architecture host) {
  try {
    check_kernel_head("/k", bytes, host);
    return "";
  } catch (const Error& e) {
    CHECK(e.status() == MVM_ERR_INVALID);
    return e.what();
  }
}

}  // namespace

TEST_CASE("each Mac takes the kernel of its own processor, uncompressed") {
  CHECK(refusal(arm64_image, Architecture::arm64) == "");
  CHECK(refusal(bzimage(), Architecture::x86_64) == "");
}

TEST_CASE("a kernel for the other processor is named so") {
  CHECK(refusal(bzimage(), Architecture::arm64) == "kernel /k: is for x86-64, this Mac runs arm64 guests");
  CHECK(refusal(arm64_image, Architecture::x86_64) == "kernel /k: is for arm64, this Mac runs x86-64 guests");
}

TEST_CASE("a compressed kernel is refused with the command that unpacks it (lima#3705)") {
  CHECK(refusal(head("\x1f\x8b\x08"), Architecture::arm64) ==
        "kernel /k: is compressed with gzip, and Virtualization.framework takes an uncompressed arm64 Image "
        "(arch/arm64/boot/Image); unpack it first: gzip -dc /k >Image");
  CHECK_THAT(refusal(head("\x28\xb5\x2f\xfd"), Architecture::arm64), test::ContainsSubstring("zstd -dc /k >Image"));
  CHECK_THAT(refusal(head("\xfd"
                          "7zXZ\0"s),
                     Architecture::arm64),
             test::ContainsSubstring("xz -dc /k >Image"));
}

TEST_CASE("an EFI-zboot kernel is refused by that name") {
  CHECK_THAT(refusal(head("MZ\0\0zimg"s), Architecture::arm64), test::ContainsSubstring("is an EFI-zboot kernel"));
}

TEST_CASE("a vmlinux, a text and an empty file are no kernels for it") {
  CHECK_THAT(refusal(head("\x7f\x45\x4c\x46"), Architecture::x86_64), test::ContainsSubstring("is an ELF vmlinux"));
  CHECK(refusal("", Architecture::x86_64) ==
        "kernel /k: is not a kernel that Virtualization.framework starts; it takes a bzImage");
  CHECK(refusal("#!/bin/sh\n", Architecture::arm64) ==
        "kernel /k: is not a kernel that Virtualization.framework starts; it takes an uncompressed arm64 Image "
        "(arch/arm64/boot/Image)");
}
