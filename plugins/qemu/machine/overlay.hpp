// SPDX-License-Identifier: Apache-2.0
// Disks laid over an image that many VMs share: MVM_FEATURE_DISK_OVERLAY in mvm/features.h.
#pragma once

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::qemu {

// Makes a qcow2 image of each overlay that is still empty; leaves those alone that are not. Durable (fsync) when it
// returns, and takes no more room than what is in it. Throws mvm::Error, naming the file: no space, no permission, a
// base that cannot be one. For a spec that check_spec has let through.
void make_overlays(const v1::VmSpec& spec);

}  // namespace mvm::qemu
