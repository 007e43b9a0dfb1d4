// SPDX-License-Identifier: Apache-2.0
#include "qcow2_header.hpp"

#include <cstdint>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {
namespace {

uint64_t big_endian(std::string_view head, size_t at, size_t size) {
  if (head.size() < at + size) return 0;
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(head[at + i]);
  return value;
}

}  // namespace

// The header's fields: docs/interop/qcow2.txt of QEMU.
void check_qcow2_head(const std::string& path, std::string_view head, bool further_files_allowed) {
  const std::string subject = "disk " + path + ": ";
  if (!head.starts_with("QFI\xfb")) throw Error(MVM_ERR_INVALID, subject + "is not a qcow2 image");
  if (further_files_allowed) return;
  const bool has_backing_file = big_endian(head, 8, 8) != 0;
  constexpr uint64_t external_data_file = 1u << 2;
  const bool has_features = big_endian(head, 4, 4) >= 3;
  const bool has_data_file = has_features && (big_endian(head, 72, 8) & external_data_file) != 0;
  if (!has_backing_file && !has_data_file) return;
  throw Error(MVM_ERR_INVALID, subject +
                                   "is a qcow2 image that takes its data from another file of this host; copy both "
                                   "into one with qemu-img convert -O qcow2, or say --option backing-files=allow");
}

}  // namespace mvm::qemu
