// SPDX-License-Identifier: Apache-2.0
#include "configuration.hpp"

#include "directory_sharing.hpp"
#include "faults.hpp"

using mvm::vz_double::fail;

static constexpr uint64_t mib = uint64_t{1} << 20;

@implementation VZVirtualMachineConfiguration {
  mvm::vz_double::Alive _alive;
}

VZ_INIT_COUNTED

- (instancetype)init {
  if ((self = [self initCounted]) != nil) {
    _CPUCount = VZVirtualMachineConfiguration.minimumAllowedCPUCount;
    _memorySize = VZVirtualMachineConfiguration.minimumAllowedMemorySize;
    _platform = [[VZGenericPlatformConfiguration alloc] init];
    _entropyDevices = @[];
    _memoryBalloonDevices = @[];
    _networkDevices = @[];
    _serialPorts = @[];
    _socketDevices = @[];
    _storageDevices = @[];
    _directorySharingDevices = @[];
    _graphicsDevices = @[];
    _pointingDevices = @[];
    _keyboards = @[];
    _audioDevices = @[];
  }
  return self;
}

- (id)copyWithZone:(NSZone *)zone {
  (void)zone;
  VZVirtualMachineConfiguration *copy = [[VZVirtualMachineConfiguration alloc] init];
  copy.bootLoader = _bootLoader;
  copy.CPUCount = _CPUCount;
  copy.memorySize = _memorySize;
  copy.platform = _platform;
  copy.entropyDevices = _entropyDevices;
  copy.memoryBalloonDevices = _memoryBalloonDevices;
  copy.networkDevices = _networkDevices;
  copy.serialPorts = _serialPorts;
  copy.socketDevices = _socketDevices;
  copy.storageDevices = _storageDevices;
  copy.directorySharingDevices = _directorySharingDevices;
  return copy;
}

+ (uint64_t)minimumAllowedMemorySize {
  return 4 * mib;
}
+ (uint64_t)maximumAllowedMemorySize {
  return 64 * 1024 * mib;
}
+ (NSUInteger)minimumAllowedCPUCount {
  return 1;
}
+ (NSUInteger)maximumAllowedCPUCount {
  return 16;
}

- (BOOL)validateWithError:(NSError **)error {
  if (mvm::vz_double::faults().invalid_without_error) return NO;
  NSError *problem = mvm::vz_double::problem_with(self);
  return problem == nil ? YES : fail(error, problem);
}
@end

namespace mvm::vz_double {
namespace {

NSString *problem_with_size(VZVirtualMachineConfiguration *c) {
  if (c.CPUCount < VZVirtualMachineConfiguration.minimumAllowedCPUCount ||
      c.CPUCount > VZVirtualMachineConfiguration.maximumAllowedCPUCount) {
    return @"The CPU count is outside of the allowed range.";
  }
  if (c.memorySize % mib != 0) return @"The memory size is not a multiple of 1 MiB.";
  if (c.memorySize < VZVirtualMachineConfiguration.minimumAllowedMemorySize ||
      c.memorySize > VZVirtualMachineConfiguration.maximumAllowedMemorySize) {
    return @"The memory size is outside of the allowed range.";
  }
  return nil;
}

NSString *problem_with_devices(VZVirtualMachineConfiguration *c) {
  if (c.socketDevices.count > 1) return @"There may be one socket device at most.";
  if (c.memoryBalloonDevices.count > 1) return @"There may be one memory balloon device at most.";
  if (c.entropyDevices.count > 1) return @"There may be one entropy device at most.";
  for (VZNetworkDeviceConfiguration *network in c.networkDevices) {
    if (network.attachment == nil) return @"A network device has no attachment.";
    if (network.MACAddress.isMulticastAddress) return @"The MAC address of a network device is a multicast one.";
  }
  for (VZSerialPortConfiguration *port in c.serialPorts) {
    if (port.attachment == nil) return @"A serial port has no attachment.";
  }
  return nil;
}

NSString *problem_with_shares(VZVirtualMachineConfiguration *c) {
  NSMutableSet<NSString *> *tags = [NSMutableSet set];
  for (VZVirtioFileSystemDeviceConfiguration *device in c.directorySharingDevices) {
    NSError *problem = nil;
    if (![VZVirtioFileSystemDeviceConfiguration validateTag:device.tag error:&problem]) {
      return [problem localizedFailureReason];
    }
    if ([tags containsObject:device.tag]) {
      return [NSString stringWithFormat:@"The directory sharing tag \"%@\" is used more than once.", device.tag];
    }
    [tags addObject:device.tag];
  }
  return nil;
}

NSString *problem_with_platform(VZVirtualMachineConfiguration *c) {
  if (vz_double_system_is_at_least("15.0") == 0) return nil;
  if (![c.platform isKindOfClass:[VZGenericPlatformConfiguration class]]) return nil;
  auto *generic = static_cast<VZGenericPlatformConfiguration *>(c.platform);
  if (!generic.nestedVirtualizationEnabled || VZGenericPlatformConfiguration.nestedVirtualizationSupported) return nil;
  return @"Nested virtualization is not supported on this system.";
}

void add_console(MachineSpec &spec, VZSerialPortAttachment *attachment) {
  if (![attachment isKindOfClass:[VZFileHandleSerialPortAttachment class]]) return;
  auto *handles = static_cast<VZFileHandleSerialPortAttachment *>(attachment);
  if (handles.fileHandleForReading != nil) spec.console_read_fd = [handles.fileHandleForReading fileDescriptor];
  if (handles.fileHandleForWriting != nil) spec.console_write_fd = [handles.fileHandleForWriting fileDescriptor];
}

void add_disks(MachineSpec &spec, NSArray<VZStorageDeviceConfiguration *> *devices) {
  for (VZStorageDeviceConfiguration *device in devices) {
    auto *image = static_cast<VZDiskImageStorageDeviceAttachment *>(device.attachment);
    spec.disks.push_back({[[image.URL path] fileSystemRepresentation], static_cast<bool>(image.readOnly)});
  }
}

void add_shares(MachineSpec &spec, NSArray<VZDirectorySharingDeviceConfiguration *> *devices) {
  for (VZVirtioFileSystemDeviceConfiguration *device in devices) {
    for (MachineShare &share : machine_shares(device.tag, device.share)) spec.shares.push_back(share);
  }
}

std::string text(NSString *string) { return string == nil ? std::string() : std::string([string UTF8String]); }

}  // namespace

NSError *problem_with(VZVirtualMachineConfiguration *c) {
  NSString *const description = @"Invalid virtual machine configuration.";
  if (faults().no_entitlement) {
    return error(VZErrorInvalidVirtualMachineConfiguration, description,
                 @"The process doesn't have the \"com.apple.security.virtualization\" entitlement.");
  }
  NSString *reason = c.bootLoader == nil ? @"There is no boot loader." : nil;
  if (reason == nil) reason = problem_with_size(c);
  if (reason == nil) reason = problem_with_devices(c);
  if (reason == nil) reason = problem_with_shares(c);
  if (reason == nil) reason = problem_with_platform(c);
  return reason == nil ? nil : error(VZErrorInvalidVirtualMachineConfiguration, description, reason);
}

MachineSpec machine_spec(VZVirtualMachineConfiguration *c) {
  MachineSpec spec;
  auto *loader = static_cast<VZLinuxBootLoader *>(c.bootLoader);
  spec.kernel = text([loader.kernelURL path]);
  spec.initrd = text([loader.initialRamdiskURL path]);
  spec.cmdline = text(loader.commandLine);
  spec.cpus = static_cast<uint32_t>(c.CPUCount);
  spec.memory_bytes = c.memorySize;
  spec.mac = text([[c.networkDevices.firstObject MACAddress] string]);
  add_disks(spec, c.storageDevices);
  add_shares(spec, c.directorySharingDevices);
  add_console(spec, c.serialPorts.firstObject.attachment);
  return spec;
}

}  // namespace mvm::vz_double
