// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "internal.hpp"

NS_ASSUME_NONNULL_BEGIN
@interface VZVirtioTraditionalMemoryBalloonDevice (MvmMemoryBalloon)
- (instancetype)initWithMemorySize:(uint64_t)memorySize queue:(dispatch_queue_t)queue;
@end
NS_ASSUME_NONNULL_END
