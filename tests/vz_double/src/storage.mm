// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using mvm::vz_double::error;
using mvm::vz_double::fail;
using mvm::vz_double::posix_error;

namespace {

constexpr off_t sector_bytes = 512;

NSError *invalid_image(NSString *reason, NSError *underlying = nil) {
  NSMutableDictionary *info = [NSMutableDictionary dictionary];
  info[NSLocalizedDescriptionKey] = @"Invalid disk image.";
  info[NSLocalizedFailureReasonErrorKey] = reason;
  if (underlying != nil) info[NSUnderlyingErrorKey] = underlying;
  return [NSError errorWithDomain:VZErrorDomain code:VZErrorInvalidDiskImage userInfo:info];
}

// nil when it can be attached so.
NSError *problem_with_image(NSURL *url, BOOL read_only) {
  const int file = ::open([[url path] fileSystemRepresentation], (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (file < 0) return invalid_image(@"The disk image could not be opened.", posix_error(errno));
  struct stat status {};
  const bool known = ::fstat(file, &status) == 0;
  ::close(file);
  if (!known || S_ISDIR(status.st_mode)) return invalid_image(@"The disk image is not a file.");
  if (S_ISREG(status.st_mode) && (status.st_size == 0 || status.st_size % sector_bytes != 0)) {
    return invalid_image(@"The size of the disk image is no multiple of 512 bytes, or zero.");
  }
  return nil;
}

}  // namespace

@implementation VZStorageDeviceAttachment
VZ_IMPLEMENT_ROOT
@end

@implementation VZDiskImageStorageDeviceAttachment
- (instancetype)initWithURL:(NSURL *)url readOnly:(BOOL)readOnly error:(NSError **)error {
  return [self initWithURL:url
                  readOnly:readOnly
               cachingMode:VZDiskImageCachingModeAutomatic
       synchronizationMode:VZDiskImageSynchronizationModeFull
                     error:error];
}

- (instancetype)initWithURL:(NSURL *)url
                   readOnly:(BOOL)readOnly
                cachingMode:(VZDiskImageCachingMode)cachingMode
        synchronizationMode:(VZDiskImageSynchronizationMode)synchronizationMode
                      error:(NSError **)error {
  NSError *problem = problem_with_image(url, readOnly);
  if (problem != nil) {
    fail(error, problem);
    return nil;
  }
  if ((self = [super initCounted]) != nil) {
    _URL = [url copy];
    _readOnly = readOnly;
    _cachingMode = cachingMode;
    _synchronizationMode = synchronizationMode;
  }
  return self;
}
@end

@implementation VZStorageDeviceConfiguration {
 @protected
  VZStorageDeviceAttachment *_attached;
  mvm::vz_double::Alive _alive;
}
VZ_INIT_COUNTED
- (VZStorageDeviceAttachment *)attachment {
  return _attached;
}
@end

@implementation VZVirtioBlockDeviceConfiguration
- (instancetype)initWithAttachment:(VZStorageDeviceAttachment *)attachment {
  if ((self = [super initCounted]) != nil) _attached = attachment;
  return self;
}
@end
