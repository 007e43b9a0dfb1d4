// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dispatch_queue.hpp"
#include "internal.hpp"
#include "vz_double.h"

NSErrorDomain const VZErrorDomain = @"VZErrorDomain";

namespace mvm::vz_double {

NSError *error(VZErrorCode code, NSString *description, NSString *reason) {
  NSMutableDictionary *info = [NSMutableDictionary dictionary];
  info[NSLocalizedDescriptionKey] = description;
  if (reason != nil) info[NSLocalizedFailureReasonErrorKey] = reason;
  return [NSError errorWithDomain:VZErrorDomain code:code userInfo:info];
}

NSError *posix_error(int number) {
  NSString *words = [NSString stringWithUTF8String:std::strerror(number)];
  return [NSError errorWithDomain:NSPOSIXErrorDomain code:number userInfo:@{NSLocalizedDescriptionKey : words}];
}

BOOL fail(NSError **to, NSError *what) {
  if (to != nullptr) *to = what;
  return NO;
}

void assert_on_queue(dispatch_queue_t queue, id object, SEL selector) {
  if (is_current(queue)) return;
  std::fprintf(stderr,
               "vz_double: -[%s %s] off the virtual machine's queue \"%s\": the real framework traps there. "
               "Send it from a block on that queue.\n",
               class_getName([object class]), sel_getName(selector), dispatch_queue_get_label(queue));
  std::abort();
}

}  // namespace mvm::vz_double

size_t vz_double_live_queues() { return static_cast<size_t>(mvm::vz_double::live_queues()); }
