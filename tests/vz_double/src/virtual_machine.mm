// SPDX-License-Identifier: Apache-2.0
#include "virtual_machine.hpp"

#include <array>
#include <fstream>

#include "configuration.hpp"
#include "directory_sharing.hpp"
#include "disk_locks.hpp"
#include "dispatch_queue.hpp"
#include "faults.hpp"
#include "memory_balloon.hpp"
#include "network.hpp"
#include "socket.hpp"
#include "ticket.hpp"

using mvm::vz_double::Arrivals;
using mvm::vz_double::error;
using mvm::vz_double::fail;
using mvm::vz_double::Faults;
using mvm::vz_double::Machine;
using mvm::vz_double::MachineExit;

using Handler = void (^)(NSError *_Nullable);
using Ticket = mvm::vz_double::Ticket<Handler>;

namespace {

// What changes with the state, for observers.
NSArray<NSString *> *keys_of_state() {
  return @[ @"state", @"canStart", @"canStop", @"canPause", @"canResume", @"canRequestStop" ];
}

NSError *start_failure(NSString *reason) {
  return error(VZErrorInternal, @"Internal Virtualization error. The virtual machine failed to start.", reason);
}

void answer_gone(const Ticket &ticket) {
  ticket.use([](Handler handler) { handler(error(VZErrorInternal, @"The virtual machine is gone.")); });
}

// As the real one, which says no more than that it failed: a kernel that is compressed.
bool is_compressed(const std::string &kernel) {
  std::array<char, 8> head{};
  std::ifstream(kernel, std::ios::binary).read(head.data(), head.size());
  const std::string_view text(head.data(), head.size());
  return text.starts_with("\x1f\x8b") || text.substr(4) == "zimg";
}

}  // namespace

@implementation VZVirtualMachine {
  VZVirtualMachineState _current;
  __weak id<VZVirtualMachineDelegate> _observer;
  VZVirtualMachineConfiguration *_configuration;
  dispatch_queue_t _queue;
  NSArray<VZMemoryBalloonDevice *> *_balloons;
  NSArray<VZSocketDevice *> *_sockets;
  NSArray<VZNetworkDevice *> *_networks;
  NSArray<VZDirectorySharingDevice *> *_sharing;
  NSMutableArray *_unanswered;  // by fault never=…; what they hold dies with the machine
  std::unique_ptr<Machine> _machine;
  std::shared_ptr<Arrivals> _arrivals;
  mvm::vz_double::DiskLocks _locks;
  NSUInteger _starts;  // what was planned for an earlier one is over
  mvm::vz_double::Alive _alive;
}

// ---- made and unmade

+ (BOOL)isSupported {
  return !mvm::vz_double::faults().unsupported;
}

VZ_INIT_COUNTED

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration {
  (void)configuration;
  [NSException raise:NSInvalidArgumentException
              format:@"vz_double: nobody runs the main queue here. Use initWithConfiguration:queue:"];
  return nil;
}

- (instancetype)initWithConfiguration:(VZVirtualMachineConfiguration *)configuration queue:(dispatch_queue_t)queue {
  NSError *problem = mvm::vz_double::problem_with(configuration);
  if (problem != nil) {
    [NSException raise:NSInvalidArgumentException format:@"%@", [problem localizedDescription]];
  }
  if ((self = [self initCounted]) != nil) {
    _configuration = [configuration copy];
    _queue = queue;
    _unanswered = [NSMutableArray array];
    _arrivals = std::make_shared<Arrivals>();
    [self vz_makeDevices];
    [self vz_makeMachine];
  }
  return self;
}

- (void)vz_makeDevices {
  NSMutableArray *balloons = [NSMutableArray array];
  for (NSUInteger n = 0; n < _configuration.memoryBalloonDevices.count; ++n) {
    [balloons addObject:[[VZVirtioTraditionalMemoryBalloonDevice alloc] initWithMemorySize:_configuration.memorySize
                                                                                     queue:_queue]];
  }
  NSMutableArray *sockets = [NSMutableArray array];
  for (NSUInteger n = 0; n < _configuration.socketDevices.count; ++n) {
    [sockets addObject:[[VZVirtioSocketDevice alloc] initWithMachine:self arrivals:_arrivals queue:_queue]];
  }
  NSMutableArray *networks = [NSMutableArray array];
  for (VZNetworkDeviceConfiguration *network in _configuration.networkDevices) {
    [networks addObject:[[VZNetworkDevice alloc] initWithAttachment:network.attachment queue:_queue]];
  }
  NSMutableArray *sharing = [NSMutableArray array];
  for (VZVirtioFileSystemDeviceConfiguration *device in _configuration.directorySharingDevices) {
    [sharing addObject:[[VZVirtioFileSystemDevice alloc] initWithTag:device.tag
                                                               share:device.share
                                                             machine:self
                                                               queue:_queue]];
  }
  _balloons = balloons;
  _sockets = sockets;
  _networks = networks;
  _sharing = sharing;
}

// The machine's thread knows the object weakly, and only its queue makes that strong: the object dies there.
- (void)vz_makeMachine {
  __weak VZVirtualMachine *weak_self = self;
  dispatch_queue_t queue = _queue;
  const auto on_exit = [weak_self, queue](const MachineExit &exit) {
    const MachineExit how = exit;
    dispatch_async(queue, ^{
      NSString *detail = [NSString stringWithUTF8String:how.detail.c_str()];
      [weak_self
          vz_ended:how.failed ? error(VZErrorInternal, @"The virtual machine stopped unexpectedly.", detail) : nil];
    });
  };
  const auto on_guest_connect = [weak_self, queue, arrivals = _arrivals](uint32_t port, int fd) {
    // By value: the block below captures what a reference refers to only as a reference.
    // NOLINTNEXTLINE(performance-unnecessary-value-param)
    return arrivals->offer(port, [weak_self, queue, port, fd](Arrivals::Answer answer) {
      dispatch_async(queue, ^{
        VZVirtualMachine *machine = weak_self;
        answer(machine != nil && [machine vz_take:fd port:port]);
      });
    });
  };
  _machine = std::make_unique<Machine>(on_exit, on_guest_connect);
}

- (void)dealloc {
  if (_queue == nil) return;  // init raised
  VZ_ASSERT_ON_QUEUE(_queue);
  _arrivals->close();
  _machine.reset();
}

// ---- state

- (void)vz_enter:(VZVirtualMachineState)state {
  for (NSString *key in keys_of_state()) [self willChangeValueForKey:key];
  _current = state;
  for (NSString *key in keys_of_state()) [self didChangeValueForKey:key];
}

- (VZVirtualMachineState)state {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _current;
}

- (id<VZVirtualMachineDelegate>)delegate {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _observer;
}

- (void)setDelegate:(id<VZVirtualMachineDelegate>)delegate {
  VZ_ASSERT_ON_QUEUE(_queue);
  _observer = delegate;
}

- (BOOL)canStart {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _current == VZVirtualMachineStateStopped || _current == VZVirtualMachineStateError;
}

- (BOOL)canStop {
  VZ_ASSERT_ON_QUEUE(_queue);
  return [self vz_isUp];
}

- (BOOL)canPause {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _current == VZVirtualMachineStateRunning;
}

- (BOOL)canResume {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _current == VZVirtualMachineStatePaused;
}

- (BOOL)canRequestStop {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _current == VZVirtualMachineStateRunning;
}

- (BOOL)vz_isUp {
  return _current == VZVirtualMachineStateRunning || _current == VZVirtualMachineStatePaused;
}

- (Machine *)vz_machine {
  return _machine.get();
}

// ---- devices

- (NSArray<VZMemoryBalloonDevice *> *)memoryBalloonDevices {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _balloons;
}

- (NSArray<VZSocketDevice *> *)socketDevices {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _sockets;
}

- (NSArray<VZNetworkDevice *> *)networkDevices {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _networks;
}

- (NSArray<VZDirectorySharingDevice *> *)directorySharingDevices {
  VZ_ASSERT_ON_QUEUE(_queue);
  return _sharing;
}

- (BOOL)vz_take:(int)fd port:(uint32_t)port {
  auto *device = static_cast<VZVirtioSocketDevice *>(_sockets.firstObject);
  return device != nil && [device vz_take:fd port:port];
}

// ---- start

- (void)startWithCompletionHandler:(Handler)completionHandler {
  VZ_ASSERT_ON_QUEUE(_queue);
  if (![self canStart]) return [self vz_refuse:completionHandler to:@"start"];
  [self vz_enter:VZVirtualMachineStateStarting];
  ++_starts;
  const Faults faults = mvm::vz_double::faults();
  if (!faults.answers("start")) return [self vz_neverAnswer:completionHandler];
  const Ticket ticket(_queue, completionHandler);
  const int code = faults.start_error;
  [self vz_after:faults.start_delay
              do:^(VZVirtualMachine *machine) {
                if (machine == nil) return answer_gone(ticket);
                NSError *problem = code != 0 ? error(static_cast<VZErrorCode>(code),
                                                     @"The virtual machine failed to start.", @"A fault was asked for.")
                                             : [machine vz_problemWithFiles];
                if (problem != nil) return [machine vz_startFailed:problem ticket:ticket];
                [machine vz_boot:ticket];
              }];
}

- (NSError *)vz_problemWithFiles {
  const mvm::vz_double::MachineSpec spec = mvm::vz_double::machine_spec(_configuration);
  if (is_compressed(spec.kernel)) return start_failure(nil);
  if (!std::ifstream(spec.kernel).good()) return start_failure(@"The kernel could not be opened.");
  if (!spec.initrd.empty() && !std::ifstream(spec.initrd).good()) {
    return start_failure(@"The initial RAM disk could not be opened.");
  }
  if (!_locks.take(spec.disks)) {
    return error(VZErrorInvalidVirtualMachineConfiguration, @"Invalid virtual machine configuration.",
                 @"The storage device attachment is invalid.");
  }
  return nil;
}

- (void)vz_startFailed:(NSError *)problem ticket:(const Ticket &)ticket {
  _locks.release();
  [self vz_enter:VZVirtualMachineStateError];
  ticket.use([problem](Handler handler) { handler(problem); });
}

- (void)vz_boot:(const Ticket &)ticket {
  __weak VZVirtualMachine *weak_self = self;
  _machine->boot(mvm::vz_double::machine_spec(_configuration), [weak_self, ticket](const std::string &text) {
    ticket.use([weak_self, text](Handler handler) {
      NSError *problem = text.empty() ? nil : start_failure([NSString stringWithUTF8String:text.c_str()]);
      [weak_self vz_booted:problem];
      handler(problem);
    });
  });
}

- (void)vz_booted:(NSError *)problem {
  if (problem != nil) {
    _locks.release();
    return [self vz_enter:VZVirtualMachineStateError];
  }
  [self vz_enter:VZVirtualMachineStateRunning];
  [self vz_planFaults:mvm::vz_double::faults()];
}

- (void)vz_planFaults:(const Faults &)faults {
  [self vz_plan:faults.guest_stops_after
             do:^(VZVirtualMachine *machine) {
               [machine vz_killThen:nil];
             }];
  [self vz_plan:faults.error_after
             do:^(VZVirtualMachine *machine) {
               [machine vz_killThen:error(VZErrorInternal, @"The virtual machine stopped unexpectedly.",
                                          @"A fault was asked for.")];
             }];
  [self vz_plan:faults.network_lost_after
             do:^(VZVirtualMachine *machine) {
               [machine vz_loseNetwork];
             }];
}

// ---- end

- (BOOL)requestStopWithError:(NSError **)problem {
  VZ_ASSERT_ON_QUEUE(_queue);
  if (![self canRequestStop]) {
    return fail(problem,
                error(VZErrorInvalidVirtualMachineStateTransition, @"Invalid virtual machine state transition.",
                      @"The guest cannot be asked to stop in this state."));
  }
  const Faults faults = mvm::vz_double::faults();
  if (faults.request_stop_error != 0) {
    return fail(problem,
                error(static_cast<VZErrorCode>(faults.request_stop_error), @"The guest was not asked to stop."));
  }
  if (!faults.ignore_request_stop) _machine->press_power_button();
  return YES;
}

- (void)stopWithCompletionHandler:(Handler)completionHandler {
  VZ_ASSERT_ON_QUEUE(_queue);
  if (![self canStop]) return [self vz_refuse:completionHandler to:@"stop"];
  const Faults faults = mvm::vz_double::faults();
  const Ticket ticket(_queue, completionHandler);
  if (faults.stop_error != 0) {
    NSError *problem = error(static_cast<VZErrorCode>(faults.stop_error), @"The virtual machine failed to stop.");
    return ticket.use([problem](Handler handler) { handler(problem); });
  }
  [self vz_enter:VZVirtualMachineStateStopping];
  if (!faults.answers("stop")) return [self vz_neverAnswer:completionHandler];
  [self vz_after:faults.stop_delay
              do:^(VZVirtualMachine *machine) {
                if (machine == nil) return answer_gone(ticket);
                [machine vz_kill:ticket];
              }];
}

- (void)vz_kill:(const Ticket &)ticket {
  __weak VZVirtualMachine *weak_self = self;
  // It may have ended by itself meanwhile: stopped is stopped.
  _machine->kill([weak_self, ticket](const std::string &) {
    ticket.use([weak_self](Handler handler) {
      [weak_self vz_stopped];
      handler(nil);
    });
  });
}

- (void)vz_stopped {
  _locks.release();
  ++_starts;
  if (_current != VZVirtualMachineStateStopped) [self vz_enter:VZVirtualMachineStateStopped];
}

// By a fault: as if the guest had done it.
- (void)vz_killThen:(NSError *)problem {
  __weak VZVirtualMachine *weak_self = self;
  const Ticket ticket(_queue, ^(NSError *why) {
    [weak_self vz_ended:why];
  });
  _machine->kill(
      [ticket, problem](const std::string &) { ticket.use([problem](Handler handler) { handler(problem); }); });
}

// By itself. The error is nil when the guest shut down.
- (void)vz_ended:(NSError *)problem {
  if (_current == VZVirtualMachineStateStopped || _current == VZVirtualMachineStateError) return;
  _locks.release();
  ++_starts;
  [self vz_enter:problem == nil ? VZVirtualMachineStateStopped : VZVirtualMachineStateError];
  id<VZVirtualMachineDelegate> delegate = _observer;
  if (problem == nil && [delegate respondsToSelector:@selector(guestDidStopVirtualMachine:)]) {
    [delegate guestDidStopVirtualMachine:self];
  } else if (problem != nil && [delegate respondsToSelector:@selector(virtualMachine:didStopWithError:)]) {
    [delegate virtualMachine:self didStopWithError:problem];
  }
}

- (void)vz_loseNetwork {
  VZNetworkDevice *device = _networks.firstObject;
  if (device == nil) return;
  device.attachment = nil;
  id<VZVirtualMachineDelegate> delegate = _observer;
  if ([delegate respondsToSelector:@selector(virtualMachine:networkDevice:attachmentWasDisconnectedWithError:)]) {
    [delegate virtualMachine:self
                             networkDevice:device
        attachmentWasDisconnectedWithError:error(VZErrorInternal, @"The network attachment was disconnected.")];
  }
}

// ---- pause

- (void)pauseWithCompletionHandler:(Handler)completionHandler {
  VZ_ASSERT_ON_QUEUE(_queue);
  if (![self canPause]) return [self vz_refuse:completionHandler to:@"pause"];
  [self vz_enter:VZVirtualMachineStatePausing];
  if (!mvm::vz_double::faults().answers("pause")) return [self vz_neverAnswer:completionHandler];
  _machine->pause([self vz_changeTo:VZVirtualMachineStatePaused
                               from:VZVirtualMachineStatePausing
                          otherwise:VZVirtualMachineStateRunning
                             ticket:Ticket(_queue, completionHandler)]);
}

- (void)resumeWithCompletionHandler:(Handler)completionHandler {
  VZ_ASSERT_ON_QUEUE(_queue);
  if (![self canResume]) return [self vz_refuse:completionHandler to:@"resume"];
  [self vz_enter:VZVirtualMachineStateResuming];
  if (!mvm::vz_double::faults().answers("resume")) return [self vz_neverAnswer:completionHandler];
  _machine->resume([self vz_changeTo:VZVirtualMachineStateRunning
                                from:VZVirtualMachineStateResuming
                           otherwise:VZVirtualMachineStatePaused
                              ticket:Ticket(_queue, completionHandler)]);
}

// What the machine's answer does, unless the guest ended meanwhile.
- (Machine::Done)vz_changeTo:(VZVirtualMachineState)wanted
                        from:(VZVirtualMachineState)passing
                   otherwise:(VZVirtualMachineState)old
                      ticket:(const Ticket &)ticket {
  __weak VZVirtualMachine *weak_self = self;
  return [weak_self, wanted, passing, old, ticket](const std::string &text) {
    const bool done = text.empty();
    ticket.use([weak_self, wanted, passing, old, done](Handler handler) {
      VZVirtualMachine *machine = weak_self;
      if (machine != nil && machine->_current == passing) [machine vz_enter:done ? wanted : old];
      handler(done ? nil : error(VZErrorInvalidVirtualMachineState, @"Invalid virtual machine state."));
    });
  };
}

// ---- answers

- (void)vz_refuse:(Handler)completionHandler to:(NSString *)verb {
  NSString *reason = [NSString stringWithFormat:@"The virtual machine cannot %@ in state %ld.", verb, (long)_current];
  NSError *problem =
      error(VZErrorInvalidVirtualMachineStateTransition, @"Invalid virtual machine state transition.", reason);
  Ticket(_queue, completionHandler).use([problem](Handler handler) { handler(problem); });
}

- (void)vz_neverAnswer:(Handler)completionHandler {
  [_unanswered addObject:[completionHandler copy]];
}

// Later on the queue, with nil when the machine is gone by then.
- (void)vz_after:(Faults::Delay)delay do:(void (^)(VZVirtualMachine *machine))what {
  __weak VZVirtualMachine *weak_self = self;
  const auto delay_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(delay).count();
  dispatch_after(delay_ns == 0 ? DISPATCH_TIME_NOW : dispatch_time(DISPATCH_TIME_NOW, delay_ns), _queue, ^{
    what(weak_self);
  });
}

// A fault of this run of the machine: not after it was stopped or started again, or is gone.
- (void)vz_plan:(const std::optional<Faults::Delay> &)delay do:(void (^)(VZVirtualMachine *machine))what {
  if (!delay) return;
  const NSUInteger start = _starts;
  [self vz_after:*delay
              do:^(VZVirtualMachine *machine) {
                if (machine != nil && machine->_starts == start) what(machine);
              }];
}
@end
