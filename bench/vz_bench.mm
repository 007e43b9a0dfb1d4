// SPDX-License-Identifier: Apache-2.0
// What the plugin apple-vz adds to the framework, which here is its double (tests/vz_double): a vsock connection, boot
// and stop, each beside the same done with the double's own classes, in turn; and what it does while it idles.
#import <Foundation/Foundation.h>
#import <Virtualization/Virtualization.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "apple_vz_hypervisor.hpp"
#include "measure.hpp"

using namespace mvm;
using namespace mvm::bench;

namespace {

using Clock = std::chrono::steady_clock;

constexpr int rounds = 9;
constexpr int connections = 1000;  // a round
constexpr int boots = 50;          // a round
constexpr int idle_seconds = 5;
constexpr uint32_t echo_port = 7;

double us_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

// ---- with the framework's own classes

class Bare {
 public:
  Bare() : queue_(dispatch_queue_create("org.mvmhost.bench", DISPATCH_QUEUE_SERIAL)) {}

  void boot() {
    wait_for(^(void (^answered)(void)) {
      VZVirtualMachineConfiguration *configuration = [[VZVirtualMachineConfiguration alloc] init];
      VZLinuxBootLoader *loader =
          [[VZLinuxBootLoader alloc] initWithKernelURL:[NSURL fileURLWithPath:@MVM_VZ_DOUBLE_KERNEL]];
      loader.commandLine = @"console=hvc0";
      configuration.bootLoader = loader;
      configuration.memorySize = uint64_t{64} << 20;
      configuration.socketDevices = @[ [[VZVirtioSocketDeviceConfiguration alloc] init] ];
      if (![configuration validateWithError:nil]) give_up("the bare configuration is invalid");
      machine_ = [[VZVirtualMachine alloc] initWithConfiguration:configuration queue:queue_];
      [machine_ startWithCompletionHandler:^(NSError *error) {
        if (error != nil) give_up("the bare machine does not start");
        answered();
      }];
    });
  }

  void connect() {
    wait_for(^(void (^answered)(void)) {
      VZVirtioSocketDevice *device = static_cast<VZVirtioSocketDevice *>(machine_.socketDevices.firstObject);
      [device connectToPort:echo_port
          completionHandler:^(VZVirtioSocketConnection *connection, NSError *) {
            if (connection == nil) give_up("no bare connection");
            ::close(::fcntl(connection.fileDescriptor, F_DUPFD_CLOEXEC, 0));
            answered();
          }];
    });
  }

  void stop() {
    wait_for(^(void (^answered)(void)) {
      [machine_ stopWithCompletionHandler:^(NSError *) {
        machine_ = nil;
        answered();
      }];
    });
  }

 private:
  void wait_for(void (^work)(void (^answered)(void))) {
    dispatch_semaphore_t done = dispatch_semaphore_create(0);
    dispatch_async(queue_, ^{
      work(^{
        dispatch_semaphore_signal(done);
      });
    });
    dispatch_semaphore_wait(done, DISPATCH_TIME_FOREVER);
  }

  dispatch_queue_t queue_;
  VZVirtualMachine *machine_;
};

// ---- with the plugin

class Plugin {
 public:
  Plugin() : hypervisor_(Host(nullptr), Bytes()) {}

  void boot() {
    v1::VmSpec spec;
    spec.set_name("bench");
    spec.set_kernel(MVM_VZ_DOUBLE_KERNEL);
    spec.set_cmdline("console=hvc0");
    spec.set_cpus(1);
    spec.set_memory_bytes(uint64_t{64} << 20);
    wait_for<Bytes>([&](auto done) { hypervisor_.boot(spec.SerializeAsString(), done); });
  }

  void connect() {
    v1::VsockConnectRequest request;
    request.set_name("bench");
    request.set_port(echo_port);
    request.set_timeout_ms(10'000);
    wait_for<UniqueFd>([&](auto done) { hypervisor_.vsock_connect(request.SerializeAsString(), done); });
  }

  void stop() {
    v1::StopRequest request;
    request.set_name("bench");
    request.set_force(true);
    wait_for<Bytes>([&](auto done) { hypervisor_.stop(request.SerializeAsString(), done); });
  }

 private:
  template <class Reply, class Fn>
  void wait_for(Fn fn) {
    dispatch_semaphore_t answered = dispatch_semaphore_create(0);
    fn(BasicCompletion<Reply>([answered](mvm_status status, Reply, Bytes error) {
      if (status != MVM_OK) give_up("the plugin: " + std::string(error));
      dispatch_semaphore_signal(answered);
    }));
    dispatch_semaphore_wait(answered, DISPATCH_TIME_FOREVER);
  }

  apple_vz::AppleVzHypervisor hypervisor_;
};

// ---- figures

template <class Of>
double us_of_connections(Of &of) {
  const auto begin = Clock::now();
  for (int n = 0; n < connections; ++n) of.connect();
  return us_since(begin) / connections;
}

template <class Of>
double ms_of_boots(Of &of) {
  const auto begin = Clock::now();
  for (int n = 0; n < boots; ++n) {
    of.boot();
    of.stop();
  }
  return us_since(begin) / boots / 1000;
}

void print(const char *what, const char *unit, const std::vector<double> &bare, const std::vector<double> &plugin) {
  std::vector<double> added;
  for (size_t n = 0; n < bare.size(); ++n) added.push_back(plugin[n] - bare[n]);
  const Spread b = spread_of(bare);
  const Spread p = spread_of(plugin);
  const Spread a = spread_of(added);
  std::printf("%-14s double %8.3f %s  plugin %8.3f %s  added %7.3f %s (%.3f to %.3f)\n", what, b.median, unit, p.median,
              unit, a.median, unit, a.min, a.max);
}

// Of all threads but this one.
long switches_of_others() {
  long all = 0;
  DIR *threads = ::opendir("/proc/self/task");
  while (const dirent *thread = ::readdir(threads)) {
    if (thread->d_name[0] == '.' || std::stoi(thread->d_name) == ::getpid()) continue;
    std::ifstream status(std::string("/proc/self/task/") + thread->d_name + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.find("ctxt_switches") != std::string::npos) all += std::stol(line.substr(line.find(':') + 1));
    }
  }
  ::closedir(threads);
  return all;
}

}  // namespace

int main() {
  Bare bare;
  Plugin plugin;
  std::vector<double> bare_us, plugin_us, bare_ms, plugin_ms;
  for (int round = 0; round < rounds; ++round) {
    bare_ms.push_back(ms_of_boots(bare));
    plugin_ms.push_back(ms_of_boots(plugin));
  }
  print("boot and stop", "ms", bare_ms, plugin_ms);
  bare.boot();
  plugin.boot();
  for (int round = 0; round < rounds; ++round) {
    bare_us.push_back(us_of_connections(bare));
    plugin_us.push_back(us_of_connections(plugin));
  }
  print("connect", "us", bare_us, plugin_us);
  std::this_thread::sleep_for(std::chrono::seconds(1));  // what the last connection set off
  const long before = switches_of_others();
  std::this_thread::sleep_for(std::chrono::seconds(idle_seconds));
  std::printf("idle           %ld wake-ups of all threads in %d s\n", switches_of_others() - before, idle_seconds);
  plugin.stop();
  bare.stop();
}
