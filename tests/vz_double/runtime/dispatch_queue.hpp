// SPDX-License-Identifier: Apache-2.0
// What the double asks of queues beyond libdispatch's own functions.
#pragma once
#import <dispatch/dispatch.h>

#include <chrono>

namespace mvm::vz_double {

// Whether the calling thread is the queue's.
bool is_current(dispatch_queue_t queue);
// Queues whose thread has not ended yet.
int live_queues();

using Clock = std::chrono::steady_clock;
Clock::time_point time_point_of(dispatch_time_t when);

// Once, before the first queue.
void mend_file_handles();

}  // namespace mvm::vz_double
