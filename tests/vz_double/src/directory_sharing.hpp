// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "internal.hpp"

NS_ASSUME_NONNULL_BEGIN

@interface VZVirtioFileSystemDevice (MvmDirectorySharing)
- (instancetype)initWithTag:(NSString*)tag
                      share:(nullable VZDirectoryShare*)share
                    machine:(VZVirtualMachine*)machine
                      queue:(dispatch_queue_t)queue;
@end

namespace mvm::vz_double {

// As a guest sees them: a single directory under the device's tag; of several, each under its name, as a guest that
// mounts the device once and binds what is in there.
std::vector<MachineShare> machine_shares(NSString* tag, VZDirectoryShare* _Nullable share);

}  // namespace mvm::vz_double
NS_ASSUME_NONNULL_END
