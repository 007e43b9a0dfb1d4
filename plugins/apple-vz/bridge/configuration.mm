// SPDX-License-Identifier: Apache-2.0
#include "configuration.hpp"

#import <Foundation/Foundation.h>
#import <Virtualization/Virtualization.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>

#include "objc.hpp"

namespace mvm::apple_vz {
namespace {

VZDiskImageCachingMode caching_mode(Caching caching) {
  switch (caching) {
    case Caching::automatic:
      return VZDiskImageCachingModeAutomatic;
    case Caching::uncached:
      return VZDiskImageCachingModeUncached;
    case Caching::cached:
      return VZDiskImageCachingModeCached;
  }
}

VZDiskImageSynchronizationMode synchronization_mode(Synchronization synchronization) {
  switch (synchronization) {
    case Synchronization::full:
      return VZDiskImageSynchronizationModeFull;
    case Synchronization::fsync:
      return VZDiskImageSynchronizationModeFsync;
    case Synchronization::none:
      return VZDiskImageSynchronizationModeNone;
  }
}

void set_boot_loader(VZVirtualMachineConfiguration *configuration, const MachinePlan &plan) {
  VZLinuxBootLoader *loader = [[VZLinuxBootLoader alloc] initWithKernelURL:file_url(plan.kernel)];
  loader.commandLine = ns_string(plan.cmdline);
  if (!plan.initrd.empty()) loader.initialRamdiskURL = file_url(plan.initrd);
  configuration.bootLoader = loader;
}

void set_platform(VZVirtualMachineConfiguration *configuration, const MachinePlan &plan) {
  VZGenericPlatformConfiguration *platform = [[VZGenericPlatformConfiguration alloc] init];
  if (__builtin_available(macOS 13.0, *)) {
    if (!plan.machine_identifier.empty()) {
      NSData *data = [NSData dataWithBytes:plan.machine_identifier.data() length:plan.machine_identifier.size()];
      platform.machineIdentifier = [[VZGenericMachineIdentifier alloc] initWithDataRepresentation:data];
    }
  }
  if (__builtin_available(macOS 15.0, *)) {
    if (plan.nested) platform.nestedVirtualizationEnabled = YES;
  }
  configuration.platform = platform;
}

VZStorageDeviceConfiguration *disk_of(const DiskPlan &disk) {
  NSError *error = nil;
  VZDiskImageStorageDeviceAttachment *attachment =
      [[VZDiskImageStorageDeviceAttachment alloc] initWithURL:file_url(disk.path)
                                                     readOnly:disk.read_only
                                                  cachingMode:caching_mode(disk.caching)
                                          synchronizationMode:synchronization_mode(disk.synchronization)
                                                        error:&error];
  if (attachment == nil) {
    FrameworkError problem = framework_error(error, "cannot be attached");
    problem.description = "disk " + disk.path + ": " + problem.description;
    throw FrameworkFailure(std::move(problem));
  }
  return [[VZVirtioBlockDeviceConfiguration alloc] initWithAttachment:attachment];
}

void add_disks(VZVirtualMachineConfiguration *configuration, const std::vector<DiskPlan> &disks) {
  NSMutableArray<VZStorageDeviceConfiguration *> *devices = [NSMutableArray array];
  for (const DiskPlan &disk : disks) [devices addObject:disk_of(disk)];
  configuration.storageDevices = devices;
}

void add_network(VZVirtualMachineConfiguration *configuration, const std::string &mac) {
  if (mac.empty()) return;
  VZVirtioNetworkDeviceConfiguration *device = [[VZVirtioNetworkDeviceConfiguration alloc] init];
  VZMACAddress *address = [[VZMACAddress alloc] initWithString:ns_string(mac)];
  if (address == nil) throw FrameworkFailure({"mvm", 0, "mac \"" + mac + "\" is not a card's address", "", {}});
  device.MACAddress = address;
  device.attachment = [[VZNATNetworkDeviceAttachment alloc] init];
  configuration.networkDevices = @[ device ];
}

// The framework's own: it closes it when the machine is gone.
NSFileHandle *handle_of(int borrowed) {
  const int fd = ::fcntl(borrowed, F_DUPFD_CLOEXEC, 0);
  if (fd < 0)
    throw FrameworkFailure({"NSPOSIXErrorDomain", errno, std::string("console: ") + std::strerror(errno), "", {}});
  return [[NSFileHandle alloc] initWithFileDescriptor:fd closeOnDealloc:YES];
}

void add_console(VZVirtualMachineConfiguration *configuration, int fd) {
  if (fd < 0) return;
  VZVirtioConsoleDeviceSerialPortConfiguration *port = [[VZVirtioConsoleDeviceSerialPortConfiguration alloc] init];
  port.attachment = [[VZFileHandleSerialPortAttachment alloc] initWithFileHandleForReading:handle_of(fd)
                                                                      fileHandleForWriting:handle_of(fd)];
  configuration.serialPorts = @[ port ];
}

void add_socket(VZVirtualMachineConfiguration *configuration) {
  configuration.socketDevices = @[ [[VZVirtioSocketDeviceConfiguration alloc] init] ];
}

void add_entropy(VZVirtualMachineConfiguration *configuration) {
  configuration.entropyDevices = @[ [[VZVirtioEntropyDeviceConfiguration alloc] init] ];
}

void add_balloon(VZVirtualMachineConfiguration *configuration) {
  configuration.memoryBalloonDevices = @[ [[VZVirtioTraditionalMemoryBalloonDeviceConfiguration alloc] init] ];
}

VZDirectorySharingDeviceConfiguration *sharing_device(const std::string &tag, VZDirectoryShare *share) {
  VZVirtioFileSystemDeviceConfiguration *device =
      [[VZVirtioFileSystemDeviceConfiguration alloc] initWithTag:ns_string(tag)];
  device.share = share;
  return device;
}

#if defined(__arm64__) || !defined(__APPLE__)  // Apple declares it for arm64 alone
VZDirectoryShare *rosetta_share() {
  NSError *error = nil;
  VZDirectoryShare *share = nil;
  if (__builtin_available(macOS 13.0, *)) share = [[VZLinuxRosettaDirectoryShare alloc] initWithError:&error];
  if (share == nil) throw FrameworkFailure(framework_error(error, "Rosetta cannot be shared"));
  return share;
}
#else
VZDirectoryShare *rosetta_share() {
  throw FrameworkFailure({"mvm", 0, "Rosetta is for Linux guests of Apple silicon", "", {}});
}
#endif

void add_directories(VZVirtualMachineConfiguration *configuration, const MachinePlan &plan) {
  NSMutableArray<VZDirectorySharingDeviceConfiguration *> *devices = [NSMutableArray array];
  for (const Directory &directory : plan.directories) {
    [devices addObject:sharing_device(directory.tag, share_of(directory))];
  }
  [devices addObject:sharing_device(plan.live_tag, share_of(std::vector<Directory>()))];
  if (!plan.rosetta_tag.empty()) [devices addObject:sharing_device(plan.rosetta_tag, rosetta_share())];
  configuration.directorySharingDevices = devices;
}

VZSharedDirectory *shared_directory(const Directory &directory) {
  return [[VZSharedDirectory alloc] initWithURL:file_url(directory.path) readOnly:directory.read_only];
}

}  // namespace

VZDirectoryShare *share_of(const Directory &directory) {
  return [[VZSingleDirectoryShare alloc] initWithDirectory:shared_directory(directory)];
}

VZDirectoryShare *share_of(const std::vector<Directory> &directories) {
  NSMutableDictionary<NSString *, VZSharedDirectory *> *by_name = [NSMutableDictionary dictionary];
  for (const Directory &directory : directories) by_name[ns_string(directory.tag)] = shared_directory(directory);
  return [[VZMultipleDirectoryShare alloc] initWithDirectories:by_name];
}

VZVirtualMachineConfiguration *configuration_of(const MachinePlan &plan) {
  VZVirtualMachineConfiguration *configuration = [[VZVirtualMachineConfiguration alloc] init];
  set_boot_loader(configuration, plan);
  set_platform(configuration, plan);
  configuration.CPUCount = plan.cpus;
  configuration.memorySize = plan.memory_bytes;
  add_disks(configuration, plan.disks);
  add_network(configuration, plan.mac);
  add_console(configuration, plan.console);
  add_socket(configuration);
  add_entropy(configuration);
  add_balloon(configuration);
  add_directories(configuration, plan);
  NSError *error = nil;
  // NO without an error is NO.
  if (![configuration validateWithError:&error]) {
    throw FrameworkFailure(
        framework_error(error, "the framework finds this configuration invalid, and does not say why"));
  }
  return configuration;
}

}  // namespace mvm::apple_vz
