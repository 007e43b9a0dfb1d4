// SPDX-License-Identifier: Apache-2.0
// MVM_FEATURE_DISK_OVERLAY (mvm/features.h). The mock's guest writes to no disk: what an overlay holds is which image
// it is laid over.
#pragma once

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::mock {

// Makes what is empty an overlay. Throws mvm::Error: INVALID where one was made by another hypervisor, or over another
// image; INTERNAL where it cannot be written.
void make_overlays(const v1::VmSpec& spec);

}  // namespace mvm::mock
