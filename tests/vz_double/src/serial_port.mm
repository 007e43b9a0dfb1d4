// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

#include <cerrno>

#include <fcntl.h>

using mvm::vz_double::fail;
using mvm::vz_double::posix_error;

@implementation VZSerialPortAttachment
VZ_IMPLEMENT_ROOT
@end

@implementation VZFileHandleSerialPortAttachment
- (instancetype)initWithFileHandleForReading:(NSFileHandle *)fileHandleForReading
                        fileHandleForWriting:(NSFileHandle *)fileHandleForWriting {
  if ((self = [super initCounted]) != nil) {
    _fileHandleForReading = fileHandleForReading;
    _fileHandleForWriting = fileHandleForWriting;
  }
  return self;
}
@end

@interface VZFileSerialPortAttachment ()
@property(readonly) NSFileHandle *vz_file;
@end

@implementation VZFileSerialPortAttachment
- (instancetype)initWithURL:(NSURL *)url append:(BOOL)shouldAppend error:(NSError **)error {
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (shouldAppend ? O_APPEND : O_TRUNC);
  const int file = ::open([[url path] fileSystemRepresentation], flags, 0600);
  if (file < 0) {
    fail(error, posix_error(errno));
    return nil;
  }
  if ((self = [super initCounted]) != nil) {
    _URL = [url copy];
    _append = shouldAppend;
    _vz_file = [[NSFileHandle alloc] initWithFileDescriptor:file closeOnDealloc:YES];
  }
  return self;
}
@end

@implementation VZSerialPortConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioConsoleDeviceSerialPortConfiguration
- (instancetype)init {
  return [super initCounted];
}
@end
