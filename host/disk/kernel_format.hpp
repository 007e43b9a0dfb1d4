// SPDX-License-Identifier: Apache-2.0
// Looks at a kernel file before a hypervisor does: an unsuitable one otherwise fails deep inside, without a reason
// (Virtualization.framework: VZError 1 for a compressed arm64 kernel, lima#3705).
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::host {

struct KernelFile {
  v1::KernelFormat format = v1::KERNEL_FORMAT_UNSPECIFIED;
  std::string architecture;  // "x86_64", "arm64", "i386", ...; empty: not to be told (compressed)
  std::string description;   // for people: "x86 bzImage, protocol 2.15"; empty: not recognised
  std::string advice;        // what to do with a file that is no kernel; may be empty
  std::string unpack;        // the shell command that unpacks FILE; empty: not compressed
};

// What the first bytes say. `head`: kernel_head_bytes of the file, or all of it where it is shorter. Never fails:
// format UNSPECIFIED means that it is no kernel; description then says what it is instead, where that is known.
inline constexpr size_t kernel_head_bytes = 36 * 1024;
KernelFile identify_kernel(std::string_view head);

// Opens and looks. Errors (invalid): missing, a directory, not a regular file, empty, unreadable, not a kernel.
Result<KernelFile> read_kernel(const std::filesystem::path& path);

// Whether `kernel` may be booted by a hypervisor that takes `accepted`. The error (invalid) says what the file is, what
// the hypervisor takes and what to do (e.g. how to decompress it).
Result<void> check_kernel(const std::filesystem::path& path, const KernelFile& kernel, std::string_view hypervisor,
                          const v1::HypervisorInfo& info);

// "bzImage", "ELF", "arm64 Image", ...
std::string_view kernel_format_name(v1::KernelFormat format);

}  // namespace mvm::host
