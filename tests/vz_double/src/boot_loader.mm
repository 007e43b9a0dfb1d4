// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

@implementation VZBootLoader
VZ_IMPLEMENT_ROOT
@end

@implementation VZLinuxBootLoader
- (instancetype)initWithKernelURL:(NSURL *)kernelURL {
  if ((self = [super initCounted]) != nil) {
    _kernelURL = [kernelURL copy];
    _commandLine = @"";
  }
  return self;
}
@end
