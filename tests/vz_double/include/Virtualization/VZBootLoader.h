// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>

NS_ASSUME_NONNULL_BEGIN

@interface VZBootLoader : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZLinuxBootLoader : VZBootLoader
- (instancetype)initWithKernelURL:(NSURL *)kernelURL;
@property(copy) NSURL *kernelURL;
@property(copy) NSString *commandLine;
@property(nullable, copy) NSURL *initialRamdiskURL;
@end

NS_ASSUME_NONNULL_END
