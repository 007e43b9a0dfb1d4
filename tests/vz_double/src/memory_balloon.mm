// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

#include "memory_balloon.hpp"

@implementation VZMemoryBalloonDeviceConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioTraditionalMemoryBalloonDeviceConfiguration
- (instancetype)init {
  return [super initCounted];
}
@end

@implementation VZMemoryBalloonDevice
VZ_IMPLEMENT_ROOT
@end

static constexpr uint64_t mib = uint64_t{1} << 20;

@implementation VZVirtioTraditionalMemoryBalloonDevice {
  dispatch_queue_t _queue;
  uint64_t _memorySize;
  uint64_t _target;
}

- (instancetype)initWithMemorySize:(uint64_t)memorySize queue:(dispatch_queue_t)queue {
  if ((self = [super initCounted]) != nil) {
    _queue = queue;
    _memorySize = memorySize;
    _target = memorySize;
  }
  return self;
}

- (uint64_t)targetVirtualMachineMemorySize {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _target;
}

// Rounded down to whole MiB, and kept within what the machine may have: a request, no more.
- (void)setTargetVirtualMachineMemorySize:(uint64_t)size {
  VZ_ASSERT_ON_QUEUE(_queue);
  const uint64_t least = VZVirtualMachineConfiguration.minimumAllowedMemorySize;
  _target = MAX(least, MIN(size / mib * mib, _memorySize));
}
@end
