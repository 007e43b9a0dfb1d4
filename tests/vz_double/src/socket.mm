// SPDX-License-Identifier: Apache-2.0
#include "socket.hpp"

#include <atomic>
#include <cerrno>

#include <unistd.h>

#include "faults.hpp"
#include "ticket.hpp"
#include "virtual_machine.hpp"

using mvm::vz_double::Alive;
using mvm::vz_double::error;
using mvm::vz_double::faults;
using mvm::vz_double::Machine;
using mvm::vz_double::posix_error;
using mvm::vz_double::Ticket;

using ConnectHandler = void (^)(VZVirtioSocketConnection *_Nullable, NSError *_Nullable);

@implementation VZSocketDeviceConfiguration
VZ_IMPLEMENT_ROOT
@end

@implementation VZVirtioSocketDeviceConfiguration
- (instancetype)init {
  return [super initCounted];
}
@end

@implementation VZVirtioSocketListener {
  Alive _alive;
}
VZ_INIT_COUNTED
- (instancetype)init {
  return [self initCounted];
}
@end

@interface VZVirtioSocketConnection (MvmSocket)
- (instancetype)initWithDescriptor:(int)fd from:(uint32_t)sourcePort to:(uint32_t)destinationPort;
- (void)vz_forget;  // the fd is somebody else's
@end

@implementation VZVirtioSocketConnection {
  std::atomic<int> _fd;
  Alive _alive;
}
VZ_INIT_COUNTED
- (instancetype)initWithDescriptor:(int)fd from:(uint32_t)sourcePort to:(uint32_t)destinationPort {
  if ((self = [self initCounted]) != nil) {
    _fd = fd;
    _sourcePort = sourcePort;
    _destinationPort = destinationPort;
  }
  return self;
}
- (int)fileDescriptor {
  return _fd;
}
- (void)close {
  const int fd = _fd.exchange(-1);
  if (fd >= 0) ::close(fd);
}
- (void)vz_forget {
  _fd = -1;
}
- (void)dealloc {
  [self close];
}
@end

@implementation VZSocketDevice
VZ_IMPLEMENT_ROOT
@end

// Ports below are the well-known ones.
static constexpr uint32_t first_free_port = 1024;

@implementation VZVirtioSocketDevice {
  __weak VZVirtualMachine *_machine;
  std::shared_ptr<mvm::vz_double::Arrivals> _arrivals;
  dispatch_queue_t _queue;
  NSMutableDictionary<NSNumber *, VZVirtioSocketListener *> *_listeners;
  NSMutableArray *_unanswered;  // by fault never=connect; what they hold dies with the device
  uint32_t _next_port;
}

- (instancetype)initWithMachine:(VZVirtualMachine *)machine
                       arrivals:(std::shared_ptr<mvm::vz_double::Arrivals>)arrivals
                          queue:(dispatch_queue_t)queue {
  if ((self = [super initCounted]) != nil) {
    _machine = machine;
    _arrivals = arrivals;
    _queue = queue;
    _listeners = [NSMutableDictionary dictionary];
    _unanswered = [NSMutableArray array];
    _next_port = first_free_port;
  }
  return self;
}

- (void)setSocketListener:(VZVirtioSocketListener *)listener forPort:(uint32_t)port {
  VZ_ASSERT_ON_QUEUE(_queue);
  _listeners[@(port)] = listener;
  _arrivals->listen(port);
}

- (void)removeSocketListenerForPort:(uint32_t)port {
  VZ_ASSERT_ON_QUEUE(_queue);
  _arrivals->ignore(port);
  [_listeners removeObjectForKey:@(port)];
}

- (BOOL)vz_take:(int)fd port:(uint32_t)port {
  VZVirtioSocketListener *listener = _listeners[@(port)];
  id<VZVirtioSocketListenerDelegate> delegate = listener.delegate;
  if (![delegate respondsToSelector:@selector(listener:shouldAcceptNewConnection:fromSocketDevice:)]) return NO;
  VZVirtioSocketConnection *connection = [[VZVirtioSocketConnection alloc] initWithDescriptor:fd
                                                                                         from:_next_port++
                                                                                           to:port];
  const BOOL taken = [delegate listener:listener shouldAcceptNewConnection:connection fromSocketDevice:self];
  if (!taken) [connection vz_forget];
  return taken;
}

- (void)connectToPort:(uint32_t)port completionHandler:(ConnectHandler)completionHandler {
  VZ_ASSERT_ON_QUEUE(_queue);
  const mvm::vz_double::Faults faults = mvm::vz_double::faults();
  if (!faults.answers("connect")) {
    [_unanswered addObject:[completionHandler copy]];
    return;
  }
  const Ticket<ConnectHandler> ticket(_queue, completionHandler);
  Machine *machine = [_machine vz_machine];
  if (machine == nullptr || ![_machine vz_isUp]) {
    return ticket.use([](ConnectHandler handler) {
      handler(nil, error(VZErrorInvalidVirtualMachineState, @"The virtual machine is not running."));
    });
  }
  if (faults.refuse_connect) {
    return ticket.use([](ConnectHandler handler) { handler(nil, posix_error(ECONNRESET)); });
  }
  machine->connect(port, [ticket, port, source = _next_port++](Machine::Connect outcome, int fd, const std::string &) {
    ticket.use([outcome, fd, port, source](ConnectHandler handler) {
      if (outcome == Machine::Connect::connected) {
        handler([[VZVirtioSocketConnection alloc] initWithDescriptor:fd from:source to:port], nil);
      } else if (outcome == Machine::Connect::refused) {
        handler(nil, posix_error(ECONNRESET));
      } else if (outcome == Machine::Connect::not_running) {
        handler(nil, error(VZErrorInvalidVirtualMachineState, @"The virtual machine is not running."));
      } else {
        handler(nil, error(VZErrorInternal, @"Internal Virtualization error."));
      }
    });
  });
}
@end
