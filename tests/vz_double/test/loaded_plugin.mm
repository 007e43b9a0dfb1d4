// SPDX-License-Identifier: Apache-2.0
// As a plugin: a library with Objective-C in it, which a process without loads (load_test.cpp).
#include <functional>
#include <future>
#include <stdexcept>

#include <unistd.h>

#include "vm.hpp"

using namespace mvm::vz_double::test;

#define EXPORT extern "C" __attribute__((visibility("default")))

// Boots a machine and has one byte echoed. 0: it worked.
EXPORT int boot_and_echo() {
  int result = 1;
  @autoreleasepool {
    Vm vm(small_configuration());
    Outcome outcome;
    if (!vm.start().ok()) return 2;
    const int fd = vm.connect(7, outcome);
    char answer = 0;
    if (::write(fd, "x", 1) == 1 && ::read(fd, &answer, 1) == 1 && answer == 'x') result = 0;
    ::close(fd);
    if (!vm.stop().ok()) return 3;
  }
  return vz_double_wait_until_quiet(5000) != 0 ? result : 4;
}

// An Objective-C exception, and a C++ one, each caught by the one clause that is for it; a destructor on their way.
EXPORT int exceptions_are_told_apart() {
  int destroyed = 0;
  struct Guard {
    int &count;
    ~Guard() { ++count; }
  };
  @autoreleasepool {
    @try {
      const Guard guard{destroyed};
      [NSException raise:NSInvalidArgumentException format:@"thrown"];
    } @catch (NSException *exception) {
      if (![[exception name] isEqual:NSInvalidArgumentException]) return 1;
    }
    try {
      const Guard guard{destroyed};
      throw std::runtime_error("thrown");
    } catch (const std::exception &) {
    }
    bool caught_by_dots = false;
    try {
      [NSException raise:NSGenericException format:@"thrown"];
    } catch (...) {
      caught_by_dots = true;
    }
    if (!caught_by_dots) return 2;
    // The standard library's own catch clauses, compiled here.
    std::packaged_task<int()> task(std::function<int()>([]() -> int { throw std::runtime_error("thrown"); }));
    task();
    try {
      task.get_future().get();
      return 3;
    } catch (const std::runtime_error &) {
    }
  }
  return destroyed == 2 ? 0 : 4;
}
