// SPDX-License-Identifier: Apache-2.0
// Who was at it when a runner died: a small file, mapped, in which the runner notes each call into its plugin. A mapped
// page outlives SIGKILL and SIGSEGV, so whoever finds the lock free can tell plugin, call and signal.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mvm::host {

class CrashNote {
 public:
  // Opens a fresh note at `path` for this process and installs handlers for the signals of a crash, which note the
  // signal and let it take its course. Once a process.
  static Result<CrashNote*> open(const std::filesystem::path& path);

  void set_plugin(std::string_view label) noexcept;
  void call_begins(std::string_view call) noexcept;  // any thread; the last one counts
  void call_returned() noexcept;
  // On a crash, what `from` (non-blocking) still holds is moved to `to` first: last words on standard error.
  static void drain_on_crash(int from, int to) noexcept;
  // The process ends as it should: exit() from now on is no crash.
  void ending() noexcept;

  // Whether the note at `path` is that of a runner that died: of a crash, by exit, or in a call into its plugin.
  static bool tells_of_death(const std::filesystem::path& path);

  // What the note at `path` says of a runner that died, as a sentence. pid: of the record; 0: it has none. Where there
  // is no note that can be read: that it was killed, or the machine went down.
  static std::string words(const std::filesystem::path& path, int64_t pid);

  // The plugin and the call it was in, as far as the note knows: "plugin mock 0.1.0 in boot"; else empty.
  static std::string where(const std::filesystem::path& path);

 private:
  struct Page;
  struct Copy;
  explicit CrashNote(Page* page) : page_(page) {}
  Page* page_;
};

}  // namespace mvm::host
