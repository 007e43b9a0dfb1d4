// SPDX-License-Identifier: Apache-2.0
// What the system knows of a process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>

namespace mvm::host {

// When the process began, in the system's own unit: with the pid it names one process, since pids are used again.
// Empty: no such process. Linux: clock ticks since boot, /proc/PID/stat field 22 (proc(5)); macOS: microseconds since
// 1970.
std::optional<uint64_t> process_started(pid_t pid);

// Waits for the end of any process, by event (pidfd, kqueue). False: it did not end in time. No limit: as long as it
// takes.
bool wait_process_end(pid_t pid, std::optional<std::chrono::milliseconds> limit);

// Whether the whole process is held by SIGSTOP or its like. Any process.
bool process_stopped(pid_t pid);

// This executable, links resolved.
std::filesystem::path own_executable();

}  // namespace mvm::host
