// SPDX-License-Identifier: Apache-2.0
#include "disk/kernel_format.hpp"

#include "fuzz.hpp"

using namespace mvm::host;
using mvm::fuzz::must;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const KernelFile kernel = identify_kernel(mvm::fuzz::text(data, size));
  const bool known = kernel.format != mvm::v1::KERNEL_FORMAT_UNSPECIFIED;
  must(!known || !kernel.description.empty());
  must(kernel_format_name(kernel.format) != "unknown" || !known);
  mvm::v1::HypervisorInfo info;
  info.add_kernel_formats(mvm::v1::KERNEL_FORMAT_ARM64_IMAGE);
  const auto accepted = check_kernel("kernel", kernel, "fuzz", info);
  must(accepted.has_value() == (kernel.format == mvm::v1::KERNEL_FORMAT_ARM64_IMAGE));
  for (const char c : kernel.description) must(static_cast<unsigned char>(c) >= 0x20);
  return 0;
}
