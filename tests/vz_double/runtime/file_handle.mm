// SPDX-License-Identifier: Apache-2.0
// GNUstep's file handle, when it dies, takes itself out of its thread's run loop; where there is none it makes one for
// that, with a pipe that stays until the thread ends. Nobody here waits in a run loop, and who counts descriptors after
// a machine is gone must not find that pipe.
#import <Foundation/Foundation.h>
#include <objc/runtime.h>

#include <cstdlib>
#include <initializer_list>

#include "dispatch_queue.hpp"

static void leave_run_loop_alone(id, SEL) {}

void mvm::vz_double::mend_file_handles() {
  Class handles = objc_getClass("GSFileHandle");
  if (handles == nil) std::abort();
  for (SEL selector : { @selector(ignoreReadDescriptor), @selector(ignoreWriteDescriptor) }) {
    class_replaceMethod(handles, selector, reinterpret_cast<IMP>(leave_run_loop_alone), "v@:");
  }
}
