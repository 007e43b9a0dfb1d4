// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/process.hpp"

namespace mvm::host {

std::optional<uint64_t> process_started(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return std::nullopt;
  // The second field is the command in parentheses and may hold anything: count from the last one.
  size_t at = stat->rfind(')');
  if (at == std::string::npos) return std::nullopt;
  constexpr int fields_after_command = 20;  // to field 22
  for (int i = 0; i < fields_after_command; ++i) {
    at = stat->find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
  }
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(stat->data() + at + 1, stat->data() + stat->size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

bool wait_process_end(pid_t pid, std::optional<std::chrono::milliseconds> limit) {
  const UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return errno == ESRCH;
  const auto end = std::chrono::steady_clock::now() + limit.value_or(std::chrono::hours(24 * 365));
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() < 0) return false;
    pollfd ended{process.get(), POLLIN, 0};
    const int n = ::poll(&ended, 1, static_cast<int>(std::min<int64_t>(left.count() + 1, 3'600'000)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

bool process_stopped(pid_t pid) {
  // After the program's name, which may hold anything: proc(5).
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  const size_t at = stat ? stat->rfind(')') : std::string::npos;
  return at != std::string::npos && at + 2 < stat->size() && (*stat)[at + 2] == 'T';
}

std::filesystem::path own_executable() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error);
}

}  // namespace mvm::host
#endif
