// SPDX-License-Identifier: Apache-2.0
// For the .mm files of this room: Foundation's types from and to standard ones, and the one way into Objective-C.
#pragma once

#include <exception>
#include <string>

#include "framework_error.hpp"

@class NSError, NSException, NSString, NSURL;

namespace mvm::apple_vz {

// Throws FrameworkFailure where the text is not UTF-8.
NSString* ns_string(const std::string& text);
NSURL* file_url(const std::string& path);
std::string std_string(NSString* text);

FrameworkError framework_error(NSError* error);
FrameworkError framework_error(NSException* exception);
FrameworkError framework_error(const std::exception& exception);
// What failed without saying why: some calls return NO and no error.
FrameworkError framework_error(NSError* error, const char* if_none);

// Runs fn in a pool of its own, and gives back what it threw or raised. All that sends a message to Apple's objects is
// in one of these. Caught within the pool: an exception that leaves one leaves it full, and with it open descriptors.
template <class Fn>
Problem attempt(const Fn& fn) {
  Problem problem;
  @autoreleasepool {
    @try {
      try {
        fn();
      } catch (const FrameworkFailure& failure) {
        problem = failure.error();
      } catch (const std::exception& exception) {
        problem = framework_error(exception);
      }
    } @catch (NSException* exception) {
      problem = framework_error(exception);
    }
  }
  return problem;
}

// The same, where the caller wants an exception.
template <class Fn>
void attempt_or_throw(const Fn& fn) {
  if (Problem problem = attempt(fn)) throw FrameworkFailure(std::move(*problem));
}

}  // namespace mvm::apple_vz
