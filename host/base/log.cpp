// SPDX-License-Identifier: Apache-2.0
#define FMT_HEADER_ONLY  // spdlog wants all of it
#include "base/log.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

// Header-only, with the same fmt as everything else here: a compiled libspdlog would bring symbols that a plugin's own
// could meet (docs/abi-rules.md, MVM-H1).
#ifdef SPDLOG_COMPILED_LIB
#error "spdlog is used header-only: take SPDLOG_COMPILED_LIB out of the build"
#endif
#ifndef SPDLOG_FMT_EXTERNAL
#define SPDLOG_FMT_EXTERNAL 1
#endif
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace mvm::host::log {
namespace {

constexpr size_t file_size_max_bytes = 4 * 1024 * 1024;

// Not spdlog's rotating_file_sink: that creates files 0644, sleeps while it retries, and in 1.10 writes through a null
// FILE* after a rotation that found no free descriptor, which is when a runner needs its log most.
class FileSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit FileSink(std::string path) : path_(std::move(path)) { open(); }
  ~FileSink() override {
    if (fd_ >= 0) ::close(fd_);
  }
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  bool is_open() const { return fd_ >= 0; }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    if (size_bytes_ > 0 && size_bytes_ + line.size() > file_size_max_bytes) rotate();
    // Only where no new file can be opened: bounded all the same.
    if (size_bytes_ + line.size() > 2 * file_size_max_bytes) return;
    append(line.data(), line.size());
  }
  void flush_() override {}  // every line goes to the kernel at once: it outlives a crash

 private:
  void open() {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return;
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
    struct stat info {};
    size_bytes_ = ::fstat(fd_, &info) == 0 ? static_cast<size_t>(info.st_size) : 0;
  }

  // When the new file cannot be opened, lines go on into the old one, under its new name.
  void rotate() {
    ::rename(path_.c_str(), (path_ + ".1").c_str());
    open();
  }

  // A full disk or a quota loses the line and nothing else.
  void append(const char* data, size_t size) {
    while (size > 0) {
      const ssize_t n = ::write(fd_, data, size);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return;
      data += n;
      size -= static_cast<size_t>(n);
      size_bytes_ += static_cast<size_t>(n);
    }
  }

  std::string path_;
  int fd_ = -1;
  size_t size_bytes_ = 0;
};

struct State {
  std::mutex mutex;
  spdlog::sink_ptr to_stderr;
  std::unique_ptr<spdlog::logger> logger;
};

// Never destroyed: late threads of a plugin may log while the process exits.
State& state() {
  static State& it = *new State;
  return it;
}

std::atomic<int> threshold{static_cast<int>(Level::off)};

constexpr std::array<spdlog::level::level_enum, 6> spdlog_levels = {spdlog::level::trace, spdlog::level::debug,
                                                                    spdlog::level::info,  spdlog::level::warn,
                                                                    spdlog::level::err,   spdlog::level::off};

spdlog::level::level_enum to_spdlog(Level level) {
  return spdlog_levels.at(static_cast<size_t>(std::clamp(level, Level::trace, Level::off)));
}

// With no name in spdlog's registry, and silent about its own errors.
void use(State& s, std::vector<spdlog::sink_ptr> sinks) {
  auto logger = std::make_unique<spdlog::logger>("", sinks.begin(), sinks.end());
  logger->set_error_handler([](const std::string&) {});
  auto lowest = spdlog::level::off;
  for (const auto& sink : sinks) lowest = std::min(lowest, sink->level());
  logger->set_level(lowest);
  s.logger = std::move(logger);
  const auto* found = std::find(spdlog_levels.begin(), spdlog_levels.end(), lowest);
  threshold.store(static_cast<int>(found - spdlog_levels.begin()), std::memory_order_relaxed);
}

}  // namespace

void to_stderr(Level level) {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_st>();
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("mvmhost: %l: %v"));
  sink->set_level(to_spdlog(level));
  State& s = state();
  const std::lock_guard lock(s.mutex);
  s.to_stderr = sink;
  use(s, {sink});
}

bool to_file(const std::filesystem::path& path, Level level, bool also_stderr) {
  auto sink = std::make_shared<FileSink>(path.string());
  if (!sink->is_open()) return false;
  sink->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%e%z %l: %v"));
  sink->set_level(to_spdlog(level));
  State& s = state();
  const std::lock_guard lock(s.mutex);
  std::vector<spdlog::sink_ptr> sinks{sink};
  if (also_stderr && s.to_stderr) sinks.push_back(s.to_stderr);
  use(s, std::move(sinks));
  return true;
}

bool enabled(Level level) noexcept {
  return level != Level::off && static_cast<int>(level) >= threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view message) noexcept {
  if (!enabled(level)) return;
  try {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    s.logger->log(to_spdlog(level), spdlog::string_view_t(message.data(), message.size()));
  } catch (...) {
    // A line that cannot be written is not worth the VM.
  }
}

void flush() noexcept {
  try {
    State& s = state();
    const std::lock_guard lock(s.mutex);
    if (s.logger) s.logger->flush();
  } catch (...) {
  }
}

}  // namespace mvm::host::log
