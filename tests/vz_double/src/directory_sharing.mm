// SPDX-License-Identifier: Apache-2.0
#include "directory_sharing.hpp"

#include "virtual_machine.hpp"

using mvm::vz_double::error;
using mvm::vz_double::fail;
using mvm::vz_double::MachineShare;

static constexpr NSUInteger max_tag_bytes = 35;
static constexpr NSUInteger max_name_bytes = 255;

static NSError *invalid(NSString *reason) {
  return error(VZErrorInvalidVirtualMachineConfiguration, @"Invalid virtual machine configuration.", reason);
}

@implementation VZDirectoryShare
VZ_IMPLEMENT_ROOT
@end

@implementation VZSharedDirectory {
  mvm::vz_double::Alive _alive;
}
VZ_INIT_COUNTED
- (instancetype)initWithURL:(NSURL *)url readOnly:(BOOL)readOnly {
  if ((self = [self initCounted]) != nil) {
    _URL = [url copy];
    _readOnly = readOnly;
  }
  return self;
}
@end

@implementation VZSingleDirectoryShare
- (instancetype)initWithDirectory:(VZSharedDirectory *)directory {
  if ((self = [super initCounted]) != nil) _directory = directory;
  return self;
}
@end

@implementation VZMultipleDirectoryShare
- (instancetype)init {
  return [self initWithDirectories:@{}];
}

- (instancetype)initWithDirectories:(NSDictionary<NSString *, VZSharedDirectory *> *)directories {
  for (NSString *name in directories) {
    NSError *problem = nil;
    if (![VZMultipleDirectoryShare validateName:name error:&problem]) {
      [NSException raise:NSInvalidArgumentException format:@"%@", [problem localizedFailureReason]];
    }
  }
  if ((self = [super initCounted]) != nil) _directories = [directories copy];
  return self;
}

+ (BOOL)validateName:(NSString *)name error:(NSError **)error {
  const NSUInteger bytes = [name lengthOfBytesUsingEncoding:NSUTF8StringEncoding];
  if (bytes == 0 || bytes > max_name_bytes) {
    return fail(error, invalid(@"The name of a shared directory has to have 1 to 255 bytes."));
  }
  if ([name isEqual:@"."] || [name isEqual:@".."] || [name rangeOfString:@"/"].location != NSNotFound) {
    return fail(error, invalid([NSString stringWithFormat:@"\"%@\" is no file's name.", name]));
  }
  return YES;
}

+ (NSString *)canonicalizedNameFromName:(NSString *)name {
  NSString *canonical = [name stringByReplacingOccurrencesOfString:@"/" withString:@":"];
  return [VZMultipleDirectoryShare validateName:canonical error:nullptr] ? canonical : nil;
}
@end

@implementation VZDirectorySharingDeviceConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioFileSystemDeviceConfiguration
- (instancetype)initWithTag:(NSString *)tag {
  if ((self = [super initCounted]) != nil) _tag = [tag copy];
  return self;
}

+ (BOOL)validateTag:(NSString *)tag error:(NSError **)error {
  const NSUInteger bytes = [tag lengthOfBytesUsingEncoding:NSUTF8StringEncoding];
  if (bytes >= 1 && bytes <= max_tag_bytes) return YES;
  return fail(error, invalid(@"The tag has to have at least 1 byte and less than 36 bytes in UTF-8."));
}
@end

@implementation VZDirectorySharingDevice
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioFileSystemDevice {
  VZDirectoryShare *_shared;
  NSString *_named;
  __weak VZVirtualMachine *_machine;
  dispatch_queue_t _queue;
}

- (instancetype)initWithTag:(NSString *)tag
                      share:(VZDirectoryShare *)share
                    machine:(VZVirtualMachine *)machine
                      queue:(dispatch_queue_t)queue {
  if ((self = [super initCounted]) != nil) {
    _named = [tag copy];
    _shared = share;
    _machine = machine;
    _queue = queue;
  }
  return self;
}

- (NSString *)tag {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _named;
}

- (VZDirectoryShare *)share {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _shared;
}

- (void)setShare:(VZDirectoryShare *)share {
  VZ_ASSERT_ON_QUEUE(_queue);
  std::vector<std::string> old_tags;
  for (const MachineShare &old : mvm::vz_double::machine_shares(_named, _shared)) old_tags.push_back(old.tag);
  _shared = share;
  mvm::vz_double::Machine *machine = [_machine vz_machine];
  if (machine != nullptr) machine->replace_shares(old_tags, mvm::vz_double::machine_shares(_named, _shared));
}
@end

namespace mvm::vz_double {
namespace {

MachineShare machine_share(NSString *tag, VZSharedDirectory *directory) {
  return {[tag UTF8String], [[directory.URL path] fileSystemRepresentation], static_cast<bool>(directory.readOnly)};
}

}  // namespace

std::vector<MachineShare> machine_shares(NSString *tag, VZDirectoryShare *share) {
  std::vector<MachineShare> shares;
  if ([share isKindOfClass:[VZSingleDirectoryShare class]]) {
    shares.push_back(machine_share(tag, static_cast<VZSingleDirectoryShare *>(share).directory));
  } else if ([share isKindOfClass:[VZMultipleDirectoryShare class]]) {
    NSDictionary<NSString *, VZSharedDirectory *> *directories =
        static_cast<VZMultipleDirectoryShare *>(share).directories;
    for (NSString *name in directories) shares.push_back(machine_share(name, directories[name]));
  }
  return shares;
}

}  // namespace mvm::vz_double
