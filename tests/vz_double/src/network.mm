// SPDX-License-Identifier: Apache-2.0
#include "internal.hpp"

#include <cstdio>
#include <random>

#include "network.hpp"

using mvm::vz_double::Alive;

@implementation VZMACAddress {
  ether_addr_t _address;
  Alive _alive;
}

VZ_INIT_COUNTED

- (instancetype)initWithEthernetAddress:(ether_addr_t)ethernetAddress {
  if ((self = [self initCounted]) != nil) _address = ethernetAddress;
  return self;
}

// Exactly "xx:xx:xx:xx:xx:xx".
- (instancetype)initWithString:(NSString *)string {
  static constexpr NSUInteger text_bytes = 17;
  const char *text = [string UTF8String];
  unsigned octets[6];
  int read = 0;
  const bool well_formed = [string length] == text_bytes &&
                           std::sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &octets[0], &octets[1], &octets[2],
                                       &octets[3], &octets[4], &octets[5], &read) == 6 &&
                           read == static_cast<int>(text_bytes);
  if (!well_formed) return nil;
  ether_addr_t address{};
  for (size_t n = 0; n < 6; ++n) address.octet[n] = static_cast<unsigned char>(octets[n]);
  return [self initWithEthernetAddress:address];
}

+ (instancetype)randomLocallyAdministeredAddress {
  std::random_device random;
  ether_addr_t address{};
  for (unsigned char &octet : address.octet) octet = static_cast<unsigned char>(random());
  address.octet[0] = static_cast<unsigned char>((address.octet[0] & 0xfe) | 0x02);
  return [[VZMACAddress alloc] initWithEthernetAddress:address];
}

- (NSString *)string {
  const unsigned char *o = _address.octet;
  return [NSString stringWithFormat:@"%02x:%02x:%02x:%02x:%02x:%02x", o[0], o[1], o[2], o[3], o[4], o[5]];
}

- (ether_addr_t)ethernetAddress {
  return _address;
}

- (BOOL)isBroadcastAddress {
  return [[self string] isEqual:@"ff:ff:ff:ff:ff:ff"];
}

- (BOOL)isMulticastAddress {
  return (_address.octet[0] & 0x01) != 0;
}

- (BOOL)isUnicastAddress {
  return ![self isMulticastAddress];
}

- (BOOL)isLocallyAdministeredAddress {
  return (_address.octet[0] & 0x02) != 0;
}

- (BOOL)isUniversallyAdministeredAddress {
  return ![self isLocallyAdministeredAddress];
}

- (id)copyWithZone:(NSZone *)zone {
  (void)zone;
  return self;  // it never changes
}

- (BOOL)isEqual:(id)other {
  return [other isKindOfClass:[VZMACAddress class]] && [[other string] isEqual:[self string]];
}

- (NSUInteger)hash {
  return [[self string] hash];
}
@end

@implementation VZNetworkDeviceAttachment
VZ_IMPLEMENT_ROOT
@end

@implementation VZNATNetworkDeviceAttachment
- (instancetype)init {
  return [super initCounted];
}
@end

@implementation VZFileHandleNetworkDeviceAttachment
- (instancetype)initWithFileHandle:(NSFileHandle *)fileHandle {
  if ((self = [super initCounted]) != nil) _fileHandle = fileHandle;
  return self;
}
@end

// A machine without an interface to bridge to.
@implementation VZBridgedNetworkInterface
VZ_IMPLEMENT_ROOT
+ (NSArray<VZBridgedNetworkInterface *> *)networkInterfaces {
  return @[];
}
@end

@implementation VZBridgedNetworkDeviceAttachment
- (instancetype)initWithInterface:(VZBridgedNetworkInterface *)interface {
  if ((self = [super initCounted]) != nil) _interface = interface;
  return self;
}
@end

@implementation VZNetworkDeviceConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioNetworkDeviceConfiguration
- (instancetype)init {
  if ((self = [super initCounted]) != nil) self.MACAddress = [VZMACAddress randomLocallyAdministeredAddress];
  return self;
}
@end

@implementation VZNetworkDevice {
  VZNetworkDeviceAttachment *_attached;
  dispatch_queue_t _queue;
  Alive _alive;
}

VZ_INIT_COUNTED

- (instancetype)initWithAttachment:(VZNetworkDeviceAttachment *)attachment queue:(dispatch_queue_t)queue {
  if ((self = [self initCounted]) != nil) {
    _attached = attachment;
    _queue = queue;
  }
  return self;
}

- (VZNetworkDeviceAttachment *)attachment {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _attached;
}

- (void)setAttachment:(VZNetworkDeviceAttachment *)attachment {
  VZ_ASSERT_ON_QUEUE(_queue);
  _attached = attachment;
}
@end
