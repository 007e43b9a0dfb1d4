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

void put(std::string& image, size_t at, size_t size, uint64_t value) {
  for (size_t i = 0; i < size; ++i) image[at + i] = static_cast<char>(value >> 8 * (size - 1 - i));
}

// What the guest writes is kept in pieces of 4 KiB, the block size of most file systems: in pieces of a whole cluster,
// as without these, a first write of 4 KiB would be 4 KiB written and 60 read.
constexpr uint64_t subclusters = 1u << 4;
constexpr unsigned cluster_bits = 17;
constexpr uint64_t cluster_bytes = 1u << cluster_bits;
constexpr uint64_t l2_entry_bytes = 16;  // with subclusters

}  // namespace

uint64_t qcow2_disk_bytes(std::string_view head) { return big_endian(head, 24, 8); }

std::string empty_qcow2(uint64_t disk_bytes, const std::string& base, bool base_is_qcow2) {
  constexpr size_t max_base_bytes = 1023;
  constexpr uint64_t max_l1_bytes = 32u << 20;  // QEMU's QCOW_MAX_L1_SIZE
  constexpr uint64_t l1_reach = cluster_bytes / l2_entry_bytes * cluster_bytes;
  const uint64_t l1_entries = disk_bytes / l1_reach + (disk_bytes % l1_reach != 0 ? 1 : 0);
  if (base.size() > max_base_bytes) {
    throw Error(MVM_ERR_INVALID, "disk " + base + ": its path has " + std::to_string(base.size()) + " bytes, and " +
                                     std::to_string(max_base_bytes) + " are the most below an overlay");
  }
  if (l1_entries * 8 > max_l1_bytes) throw Error(MVM_ERR_INVALID, "disk " + base + ": is too large for an overlay");
  // One after another, a cluster each but the last: header, refcount table, the one block of refcounts, L1 table.
  const uint64_t clusters = 3 + (l1_entries * 8 + cluster_bytes - 1) / cluster_bytes;
  constexpr size_t refcounts_at = 2 * cluster_bytes;
  std::string image(clusters * cluster_bytes, '\0');
  image.replace(0, 4, "QFI\xfb");
  put(image, 4, 4, 3);
  put(image, 20, 4, cluster_bits);
  put(image, 24, 8, disk_bytes);
  put(image, 36, 4, l1_entries);
  put(image, 40, 8, 3 * cluster_bytes);
  put(image, 48, 8, cluster_bytes);
  put(image, 56, 4, 1);
  put(image, 72, 8, subclusters);
  put(image, 96, 4, 4);  // refcounts of 1 << 4 bits
  put(image, 100, 4, qcow2_head_bytes);
  const std::string format = base_is_qcow2 ? "qcow2" : "raw";
  constexpr size_t format_at = qcow2_head_bytes;
  put(image, format_at, 4, 0xe2792aca);  // the extension that tells the base's format
  put(image, format_at + 4, 4, format.size());
  image.replace(format_at + 8, format.size(), format);
  constexpr size_t base_at = format_at + 16 + 8;  // 8: the end of extensions, zeros
  put(image, 8, 8, base_at);
  put(image, 16, 4, base.size());
  image.replace(base_at, base.size(), base);
  put(image, cluster_bytes, 8, refcounts_at);
  for (uint64_t cluster = 0; cluster < clusters; ++cluster) put(image, refcounts_at + 2 * cluster, 2, 1);
  return image;
}

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
