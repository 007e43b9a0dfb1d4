// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>

NS_ASSUME_NONNULL_BEGIN

@interface VZSerialPortAttachment : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZFileHandleSerialPortAttachment : VZSerialPortAttachment
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
- (instancetype)initWithFileHandleForReading:(nullable NSFileHandle *)fileHandleForReading
                        fileHandleForWriting:(nullable NSFileHandle *)fileHandleForWriting NS_DESIGNATED_INITIALIZER;
@property(nullable, readonly, strong) NSFileHandle *fileHandleForReading;
@property(nullable, readonly, strong) NSFileHandle *fileHandleForWriting;
@end

@interface VZFileSerialPortAttachment : VZSerialPortAttachment
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
- (nullable instancetype)initWithURL:(NSURL *)url
                              append:(BOOL)shouldAppend
                               error:(NSError **)error NS_DESIGNATED_INITIALIZER;
@property(readonly, copy) NSURL *URL;
@property(readonly) BOOL append;
@end

@interface VZSerialPortConfiguration : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@property(nullable, strong) VZSerialPortAttachment *attachment;
@end

@interface VZVirtioConsoleDeviceSerialPortConfiguration : VZSerialPortConfiguration
- (instancetype)init;
@end

NS_ASSUME_NONNULL_END
