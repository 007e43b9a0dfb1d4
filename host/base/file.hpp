// SPDX-License-Identifier: Apache-2.0
// Small files, whole.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <sys/stat.h>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

// "No space left on device": the system's words for errno.
std::string errno_words(int error);

// Opens with O_CLOEXEC; an empty fd and errno where that fails. Retries EINTR.
UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0600);

// The whole file, at most max_bytes (more is an error). Errors (failed) name the path; not_found where it is missing.
Result<std::string> read_file(const std::filesystem::path& path, size_t max_bytes);

// Writes all of it. False and errno on failure.
bool write_all(int fd, std::string_view bytes);

// What a power cut leaves of a file that was replaced before.
enum class Durability {
  none,     // the old bytes, the new ones, or an empty file: for what can be made again
  ordered,  // the old bytes or the new ones: no longer than the file system's commit interval the old (ext4: 5 s)
  synced,   // the new ones
};

// Replaces the file in one step: a temporary beside it, mode 0600, renamed. Whoever opens it finds the old bytes or the
// new ones, all of them. On failure the old file is as it was and nothing of ours stays.
Result<void> replace_file(const std::filesystem::path& path, std::string_view bytes, Durability durability);

// When a file's bytes last changed, and when anything about it did: nanoseconds since 1970.
int64_t modified_ns(const struct stat& s);
int64_t changed_ns(const struct stat& s);

// Whether a file that changed then may change again without another time to show for it: within the same tick of the
// file system's clock, and in the future, where a clock was set back (the trap of git's index: its
// Documentation/technical/racy-git.txt). What was read from it is not to be remembered by its times.
inline constexpr std::chrono::seconds racy_time{2};
bool is_racy(int64_t changed_ns);

// Creates the directory (mode 0700) or accepts one that is there, if it is a directory, ours and not writable by
// others. Errors (failed) say which of these it isn't.
Result<void> own_directory(const std::filesystem::path& path);

// A Unix socket's peer belongs to this user or root.
bool peer_is_us(int fd);

// The process that connected, or that listened when we did; 0: not to be told.
pid_t peer_pid(int fd);

}  // namespace mvm::host
