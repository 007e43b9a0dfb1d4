// SPDX-License-Identifier: Apache-2.0
// The process's own log. spdlog stays inside log.cpp.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/format.hpp"

namespace mvm::host::log {

// In the order of MVM_LOG_... (mvm/abi.h).
enum class Level : int { trace, debug, info, warn, error, off };

// Sends records to standard error, from `level` on. Each command does this first. [main thread, before others]
void to_stderr(Level level);

// Sends records to a size-bounded file, 0600 from its creation, rotated to path.1 (2 files of 4 MiB at most), and to
// standard error too if it was chosen before and `also_stderr`. Returns false when the file cannot be written.
bool to_file(const std::filesystem::path& path, Level level, bool also_stderr);

bool enabled(Level level) noexcept;
void write(Level level, std::string_view message) noexcept;  // any thread
void flush() noexcept;

template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, formatted(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, formatted(text, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::warn)) write(Level::warn, formatted(text, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) {
  if (enabled(Level::error)) write(Level::error, formatted(text, std::forward<Args>(args)...));
}

}  // namespace mvm::host::log
