// SPDX-License-Identifier: Apache-2.0
#pragma once
#import <Virtualization/VZDefines.h>

NS_ASSUME_NONNULL_BEGIN

@interface VZDirectoryShare : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZSharedDirectory : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
- (instancetype)initWithURL:(NSURL *)url readOnly:(BOOL)readOnly NS_DESIGNATED_INITIALIZER;
@property(readonly, copy) NSURL *URL;
@property(readonly, getter=isReadOnly) BOOL readOnly;
@end

@interface VZSingleDirectoryShare : VZDirectoryShare
- (instancetype)initWithDirectory:(VZSharedDirectory *)directory NS_DESIGNATED_INITIALIZER;
@property(readonly, strong) VZSharedDirectory *directory;
@end

// A name that validateName: refuses raises an exception.
@interface VZMultipleDirectoryShare : VZDirectoryShare
- (instancetype)init;
- (instancetype)initWithDirectories:(NSDictionary<NSString *, VZSharedDirectory *> *)directories
    NS_DESIGNATED_INITIALIZER;
@property(readonly, copy) NSDictionary<NSString *, VZSharedDirectory *> *directories;
+ (BOOL)validateName:(NSString *)name error:(NSError **)error;
+ (nullable NSString *)canonicalizedNameFromName:(NSString *)name;
@end

typedef NS_ENUM(NSInteger, VZLinuxRosettaAvailability) {
  VZLinuxRosettaAvailabilityNotSupported API_AVAILABLE(macos(13.0)) = 0,
  VZLinuxRosettaAvailabilityNotInstalled API_AVAILABLE(macos(13.0)) = 1,
  VZLinuxRosettaAvailabilityInstalled API_AVAILABLE(macos(13.0)) = 2,
};

API_AVAILABLE(macos(13.0))
@interface VZLinuxRosettaDirectoryShare : VZDirectoryShare
- (nullable instancetype)initWithError:(NSError **)error NS_DESIGNATED_INITIALIZER;
+ (void)installRosettaWithCompletionHandler:(void (^)(NSError *_Nullable error))completionHandler;
@property(class, readonly) VZLinuxRosettaAvailability availability;
@end

@interface VZDirectorySharingDeviceConfiguration : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZVirtioFileSystemDeviceConfiguration : VZDirectorySharingDeviceConfiguration
- (instancetype)initWithTag:(NSString *)tag NS_DESIGNATED_INITIALIZER;
@property(copy) NSString *tag;
@property(nullable, strong) VZDirectoryShare *share;
+ (BOOL)validateTag:(NSString *)tag error:(NSError **)error;
@end

@interface VZDirectorySharingDevice : NSObject
+ (instancetype)new NS_UNAVAILABLE;
- (instancetype)init NS_UNAVAILABLE;
@end

@interface VZVirtioFileSystemDevice : VZDirectorySharingDevice
@property(readonly, copy) NSString *tag;
@property(nullable, strong) VZDirectoryShare *share;
@end

NS_ASSUME_NONNULL_END
