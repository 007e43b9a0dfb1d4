// SPDX-License-Identifier: Apache-2.0
#include "runner/stray_output.hpp"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "store/crash_note.hpp"

namespace mvm::host {
namespace {
constexpr size_t max_line_bytes = 2048;
}

Result<std::unique_ptr<StrayOutput>> StrayOutput::capture(boost::asio::io_context& loop,
                                                          const std::filesystem::path& log_file) {
  int ends[2] = {-1, -1};
  const UniqueFd null = open_file("/dev/null", O_RDONLY);
  UniqueFd log = open_file(log_file, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (!null || !log || ::pipe(ends) != 0) {
    return fail(ErrorKind::failed, "standard output: cannot be redirected: {}", errno_words(errno));
  }
  UniqueFd from(ends[0]);
  const UniqueFd to(ends[1]);
  ::fcntl(from.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(from.get(), F_SETFL, O_NONBLOCK);
  ::dup2(null.get(), 0);
  ::dup2(to.get(), 1);
  ::dup2(to.get(), 2);
  CrashNote::drain_on_crash(from.get(), log.get());
  std::unique_ptr<StrayOutput> stray(new StrayOutput(loop, std::move(from), std::move(log)));
  stray->wait();
  return stray;
}

Result<void> StrayOutput::send_to(const std::filesystem::path& log_file) {
  const UniqueFd null = open_file("/dev/null", O_RDONLY);
  const UniqueFd log = open_file(log_file, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (!null || !log) return fail(ErrorKind::failed, "{}: {}", log_file.string(), errno_words(errno));
  ::dup2(null.get(), 0);
  ::dup2(log.get(), 1);
  ::dup2(log.get(), 2);
  return {};
}

StrayOutput::StrayOutput(boost::asio::io_context& loop, UniqueFd from, UniqueFd log_file)
    : from_(loop, from.release()), log_file_(std::move(log_file)) {}

void StrayOutput::drain_now() {
  for (int i = 0; i < 64 && read_some(); ++i) {
    if (errno == EAGAIN) return;
  }
}

void StrayOutput::wait() {
  from_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error && read_some()) wait();
  });
}

bool StrayOutput::read_some() {
  std::array<char, 4096> buffer;
  errno = 0;
  const ssize_t n = ::read(from_.native_handle(), buffer.data(), buffer.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  for (const char c : std::string_view(buffer.data(), static_cast<size_t>(n))) {
    if (c != '\n') line_.push_back(c);
    if (c != '\n' && line_.size() < max_line_bytes) continue;
    log::warn("printed: {}", line_);
    line_.clear();
  }
  return n > 0;
}

}  // namespace mvm::host
