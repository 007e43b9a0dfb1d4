// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

@implementation VZEntropyDeviceConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioEntropyDeviceConfiguration
- (instancetype)init {
  return [super initCounted];
}
@end
