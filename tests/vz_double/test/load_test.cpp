// SPDX-License-Identifier: Apache-2.0
// A process that knows no Objective-C loads a library that is full of it, as mvmhost does a plugin.
#include <dlfcn.h>

#include "support/catch.hpp"

// In a library that was loaded, GNUstep's array classes keep an object of 24 bytes where LeakSanitizer does not find
// it. A suppression of it would be one of every Objective-C object; the double counts its own.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "detect_leaks=0"; }

namespace {

int call(const char* name) {
  void* const library = ::dlopen(MVM_LOADED_PLUGIN, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  INFO((library == nullptr ? ::dlerror() : ""));
  REQUIRE(library != nullptr);
  const auto function = reinterpret_cast<int (*)()>(::dlsym(library, name));
  REQUIRE(function != nullptr);
  const int result = function();
  ::dlclose(library);
  return result;
}

}  // namespace

TEST_CASE("a library that uses the double boots a machine in a process without Objective-C, also when loaded again") {
  CHECK(call("boot_and_echo") == 0);
  CHECK(call("boot_and_echo") == 0);
}

TEST_CASE("Objective-C's exceptions and C++'s pass one another by in one file, and run the destructors on their way") {
  CHECK(call("exceptions_are_told_apart") == 0);
}
