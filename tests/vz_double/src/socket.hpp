// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "arrivals.hpp"
#include "internal.hpp"

NS_ASSUME_NONNULL_BEGIN
@interface VZVirtioSocketDevice (MvmSocket)
- (instancetype)initWithMachine:(VZVirtualMachine*)machine
                       arrivals:(std::shared_ptr<mvm::vz_double::Arrivals>)arrivals
                          queue:(dispatch_queue_t)queue;
// The guest's connection: whether the listener takes it, and the fd with it.
- (BOOL)vz_take:(int)fd port:(uint32_t)port;
@end
NS_ASSUME_NONNULL_END
