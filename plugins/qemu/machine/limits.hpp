// SPDX-License-Identifier: Apache-2.0
// What a VM of this plugin may have at most.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mvm::qemu {

constexpr uint32_t guest_cid = 3;   // vsock is the plugin's own device: every VM may have the same
constexpr uint32_t max_cpus = 255;  // more take an interrupt-remapping IOMMU on x86
constexpr uint64_t min_memory_bytes = uint64_t{64} << 20;
constexpr int max_disks = 16;               // the root bus has 32 slots
constexpr size_t max_shares = 8;            // PCIe ports reserved for them
constexpr size_t max_share_tag_bytes = 35;  // virtio-fs has 36, the last one a zero

}  // namespace mvm::qemu
