// SPDX-License-Identifier: Apache-2.0
#if defined(__APPLE__)
#include <string>

#include <cerrno>

#include <libproc.h>
#include <mach-o/dyld.h>
#include <sys/event.h>
#include <sys/proc.h>

#include "mvm/hypervisor.hpp"

#include "base/process.hpp"

namespace mvm::host {

std::optional<uint64_t> process_started(pid_t pid) {
  struct proc_bsdinfo info {};
  if (::proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, sizeof info) != static_cast<int>(sizeof info))
    return std::nullopt;
  return info.pbi_start_tvsec * 1000000u + info.pbi_start_tvusec;
}

bool wait_process_end(pid_t pid, std::optional<std::chrono::milliseconds> limit) {
  const UniqueFd queue(::kqueue());
  struct kevent change {};
  EV_SET(&change, pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
  if (!queue || ::kevent(queue.get(), &change, 1, nullptr, 0, nullptr) != 0) return errno == ESRCH;
  const timespec until{limit ? limit->count() / 1000 : 0, limit ? limit->count() % 1000 * 1'000'000 : 0};
  struct kevent event {};
  return ::kevent(queue.get(), nullptr, 0, &event, 1, limit ? &until : nullptr) > 0;
}

bool process_stopped(pid_t pid) {
  struct proc_bsdinfo info {};
  return ::proc_pidinfo(pid, PROC_PIDTBSDINFO, 0, &info, sizeof info) == static_cast<int>(sizeof info) &&
         info.pbi_status == SSTOP;
}

std::filesystem::path own_executable() {
  uint32_t size = 0;
  ::_NSGetExecutablePath(nullptr, &size);
  std::string path(size, '\0');
  if (::_NSGetExecutablePath(path.data(), &size) != 0) return {};
  std::error_code error;
  return std::filesystem::canonical(path.c_str(), error);
}

}  // namespace mvm::host
#endif
