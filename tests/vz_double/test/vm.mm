// SPDX-License-Identifier: Apache-2.0
#include "vm.hpp"

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <fcntl.h>
#include <unistd.h>

namespace mvm::vz_double::test {
namespace {

struct Directory {
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "vz-double-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::filesystem::path path;
};

std::filesystem::path new_path(const char *name) {
  static Directory directory;
  static int count = 0;
  return directory.path / (name + std::to_string(++count));
}

NSURL *url_of(const std::filesystem::path &path) {
  return [NSURL fileURLWithPath:[NSString stringWithUTF8String:path.c_str()]];
}

std::string text_of(NSString *string) { return string == nil ? "" : [string UTF8String]; }

bool wait(dispatch_semaphore_t semaphore) {
  return dispatch_semaphore_wait(semaphore, dispatch_time(DISPATCH_TIME_NOW, deadline_ns)) == 0;
}

[[noreturn]] void give_up(const char *what) {
  std::fprintf(stderr, "test: %s: no answer within 10 s\n", what);
  std::abort();
}

}  // namespace

Outcome outcome_of(NSError *error) {
  if (error == nil) return {};
  return {text_of([error domain]), static_cast<long>([error code]), text_of([error localizedDescription]),
          text_of([error userInfo][NSLocalizedFailureReasonErrorKey])};
}

NSURL *kernel() {
  static NSURL *const one = [] {
    const auto path = new_path("kernel");
    std::ofstream(path) << "a kernel";
    return url_of(path);
  }();
  return one;
}

NSURL *new_disk(size_t bytes) {
  const auto path = new_path("disk");
  std::ofstream(path) << std::string(bytes, '\0');
  return url_of(path);
}

NSURL *new_directory() {
  const auto path = new_path("directory");
  std::filesystem::create_directory(path);
  return url_of(path);
}

VZVirtualMachineConfiguration *small_configuration(const std::string &script) {
  VZVirtualMachineConfiguration *configuration = [[VZVirtualMachineConfiguration alloc] init];
  VZLinuxBootLoader *loader = [[VZLinuxBootLoader alloc] initWithKernelURL:kernel()];
  loader.commandLine = [NSString stringWithUTF8String:("console=hvc0 " + script).c_str()];
  configuration.bootLoader = loader;
  configuration.CPUCount = 2;
  configuration.memorySize = uint64_t{64} << 20;
  configuration.socketDevices = @[ [[VZVirtioSocketDeviceConfiguration alloc] init] ];
  return configuration;
}

}  // namespace mvm::vz_double::test

@implementation VzWitness {
  std::mutex _mutex;
  std::condition_variable _changed;
  std::vector<std::string> _told;
}

- (void)tell:(std::string)what {
  const std::lock_guard<std::mutex> lock(_mutex);
  _told.push_back(what);
  _changed.notify_all();
}

- (std::vector<std::string>)told {
  const std::lock_guard<std::mutex> lock(_mutex);
  return _told;
}

- (BOOL)waitUntilTold:(std::string)what {
  std::unique_lock<std::mutex> lock(_mutex);
  return _changed.wait_for(lock, std::chrono::nanoseconds(mvm::vz_double::test::deadline_ns),
                           [&] { return std::find(_told.begin(), _told.end(), what) != _told.end(); });
}

- (void)guestDidStopVirtualMachine:(VZVirtualMachine *)virtualMachine {
  (void)virtualMachine.state;  // on its queue
  [self tell:"guest did stop"];
}

- (void)virtualMachine:(VZVirtualMachine *)virtualMachine didStopWithError:(NSError *)error {
  (void)virtualMachine.state;
  [self tell:"stopped: " + mvm::vz_double::test::outcome_of(error).reason];
}

- (void)virtualMachine:(VZVirtualMachine *)virtualMachine
                         networkDevice:(VZNetworkDevice *)networkDevice
    attachmentWasDisconnectedWithError:(NSError *)error {
  (void)virtualMachine.state;
  (void)error;
  [self tell:networkDevice.attachment == nil ? "network lost" : "network is still there"];
}

- (void)observeValueForKeyPath:(NSString *)keyPath
                      ofObject:(id)object
                        change:(NSDictionary *)change
                       context:(void *)context {
  (void)keyPath;
  (void)change;
  (void)context;
  static const char *const names[] = {"stopped",  "running", "paused",   "error",
                                      "starting", "pausing", "resuming", "stopping"};
  [self tell:std::string("state ") + names[static_cast<VZVirtualMachine *>(object).state]];
}
@end

namespace mvm::vz_double::test {

Vm::Vm(VZVirtualMachineConfiguration *configuration)
    : queue_(dispatch_queue_create("org.mvm.test", DISPATCH_QUEUE_SERIAL)),
      vm_([[VZVirtualMachine alloc] initWithConfiguration:configuration queue:queue_]) {}

Vm::~Vm() {
  __block VZVirtualMachine *last = vm_;
  VzWitness *witness = witness_;
  vm_ = nil;
  dispatch_sync(queue_, ^{
    if (witness != nil) [last removeObserver:witness forKeyPath:@"state"];
    last = nil;
  });
}

void Vm::on_queue(const std::function<void(VZVirtualMachine *vm)> &fn) {
  VZVirtualMachine *vm = vm_;
  const auto *call = &fn;
  dispatch_sync(queue_, ^{
    (*call)(vm);
  });
}

void Vm::watch(VzWitness *witness) {
  witness_ = witness;
  on_queue([witness](VZVirtualMachine *vm) {
    vm.delegate = witness;
    [vm addObserver:witness forKeyPath:@"state" options:0 context:nullptr];
  });
}

Outcome Vm::wait_for(Call call) {
  dispatch_semaphore_t answered = dispatch_semaphore_create(0);
  dispatch_queue_t queue = queue_;
  const auto outcome = std::make_shared<Outcome>();
  on_queue([&](VZVirtualMachine *vm) {
    call(vm, ^(NSError *error) {
      dispatch_assert_queue(queue);
      *outcome = outcome_of(error);
      dispatch_semaphore_signal(answered);
    });
  });
  if (!wait(answered)) give_up("a completion handler");
  return *outcome;
}

Outcome Vm::start() {
  return wait_for(^(VZVirtualMachine *vm, void (^completion)(NSError *)) {
    [vm startWithCompletionHandler:completion];
  });
}

Outcome Vm::stop() {
  return wait_for(^(VZVirtualMachine *vm, void (^completion)(NSError *)) {
    [vm stopWithCompletionHandler:completion];
  });
}

Outcome Vm::pause() {
  return wait_for(^(VZVirtualMachine *vm, void (^completion)(NSError *)) {
    [vm pauseWithCompletionHandler:completion];
  });
}

Outcome Vm::resume() {
  return wait_for(^(VZVirtualMachine *vm, void (^completion)(NSError *)) {
    [vm resumeWithCompletionHandler:completion];
  });
}

Outcome Vm::request_stop() {
  Outcome outcome;
  on_queue([&](VZVirtualMachine *vm) {
    NSError *error = nil;
    if (![vm requestStopWithError:&error]) outcome = outcome_of(error);
  });
  return outcome;
}

VZVirtualMachineState Vm::state() {
  VZVirtualMachineState state = VZVirtualMachineStateStopped;
  on_queue([&](VZVirtualMachine *vm) { state = vm.state; });
  return state;
}

int Vm::connect(uint32_t port, Outcome &outcome) {
  dispatch_semaphore_t answered = dispatch_semaphore_create(0);
  const auto result = std::make_shared<Outcome>();
  const auto fd = std::make_shared<int>(-1);
  on_queue([&](VZVirtualMachine *vm) {
    VZVirtioSocketDevice *device = static_cast<VZVirtioSocketDevice *>(vm.socketDevices.firstObject);
    [device connectToPort:port
        completionHandler:^(VZVirtioSocketConnection *connection, NSError *error) {
          *result = outcome_of(error);
          // The connection closes its own when it dies.
          if (connection != nil) *fd = ::fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 0);
          dispatch_semaphore_signal(answered);
        }];
  });
  if (!wait(answered)) give_up("a connection");
  outcome = *result;
  return *fd;
}

}  // namespace mvm::vz_double::test
