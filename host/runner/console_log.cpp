// SPDX-License-Identifier: Apache-2.0
#include "runner/console_log.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <sstream>
#include <vector>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <fcntl.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/utf8.hpp"

namespace mvm::host {

struct ConsoleLog::Source {
  Source(boost::asio::io_context& loop, UniqueFd f) : fd(std::move(f)), watch(loop), rest(loop) {}
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() { look_away(); }

  void look() {
    if (!watch.is_open()) watch.assign(fd.get());
  }
  void look_away() {
    if (watch.is_open()) watch.release();
  }

  const UniqueFd fd;
  boost::asio::posix::stream_descriptor watch;  // while it is waited for; fd is not its own
  boost::asio::steady_timer rest;
};

namespace {

// A guest's serial port writes byte by byte, and each byte would wake this process: 12,000 times in a boot, half of all
// the processor time it took. Not longer: single bytes fill a socket after some 250.
constexpr std::chrono::microseconds rest_time{500};
constexpr size_t tail_bytes = 8192;  // a panic prints registers and a stack after its reason
// kernel/panic.c of Linux begins with these words, whatever made it panic.
constexpr std::string_view panic_words = "Kernel panic - not syncing";

UniqueFd fresh_file(const std::filesystem::path& path) {
  std::error_code ignored;
  // An empty one holds nothing that the one before it should go for.
  if (std::filesystem::file_size(path, ignored) != 0) ::rename(path.c_str(), (path.string() + ".1").c_str());
  return open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600);
}

}  // namespace

Result<std::shared_ptr<ConsoleLog>> ConsoleLog::create(boost::asio::io_context& loop,
                                                       const std::filesystem::path& path) {
  UniqueFd file = fresh_file(path);
  if (!file) return fail(ErrorKind::failed, "{}: cannot be written: {}", path.string(), errno_words(errno));
  return std::shared_ptr<ConsoleLog>(new ConsoleLog(loop, path, std::move(file)));
}

Result<void> ConsoleLog::open_pty() {
  const std::weak_ptr<ConsoleLog> weak = weak_from_this();
  MVM_TRY(pty_, ConsolePty::open(loop_, [weak](std::string_view typed) {
            if (const auto self = weak.lock()) self->type(typed);
          }));
  return {};
}

void ConsoleLog::close_pty() {
  if (pty_) pty_->close();
  pty_.reset();
}

void ConsoleLog::type(std::string_view bytes) {
  if (const auto source = source_.lock()) (void)!::write(source->fd.get(), bytes.data(), bytes.size());
}

void ConsoleLog::drain(UniqueFd fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  auto source = std::make_shared<Source>(loop_, std::move(fd));
  source_ = source;
  wait(source);
}

void ConsoleLog::drain_now() {
  const auto source = source_.lock();
  // Bounded, in case the guest's end is still there and busy.
  for (int i = 0; source && i < 256 && read_some(*source) != Read::end; ++i) {
    if (errno == EAGAIN) return;
  }
}

void ConsoleLog::wait(const std::shared_ptr<Source>& source) {
  source->look();
  source->watch.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this(), source](const boost::system::error_code& error) {
                             if (error) return;
                             switch (self->read_some(*source)) {
                               case Read::some:
                                 return self->rest(source);
                               case Read::much:
                                 return self->wait(source);
                               case Read::end:
                                 return;
                             }
                           });
}

// Off the loop meanwhile: what comes would wake it all the same.
void ConsoleLog::rest(const std::shared_ptr<Source>& source) {
  source->look_away();
  source->rest.expires_after(rest_time);
  source->rest.async_wait([self = shared_from_this(), source](const boost::system::error_code& error) {
    if (!error) self->wait(source);
  });
}

ConsoleLog::Read ConsoleLog::read_some(Source& source) {
  std::array<char, 16384> buffer;
  errno = 0;
  const ssize_t n = ::read(source.fd.get(), buffer.data(), buffer.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Read::some : Read::end;
  const std::string_view bytes(buffer.data(), static_cast<size_t>(n));
  append(bytes);
  keep_tail(bytes);
  if (pty_) pty_->print(bytes);
  if (n == 0) return Read::end;
  return bytes.size() == buffer.size() ? Read::much : Read::some;
}

void ConsoleLog::append(std::string_view bytes) {
  if (!file_ || size_ + bytes.size() > max_file_bytes) rotate();
  if (file_ && write_all(file_.get(), bytes)) {
    size_ += bytes.size();
    complained_ = false;
  } else if (!complained_) {
    log::error("{}: console output is lost: {}", path_.string(), errno_words(errno));
    complained_ = true;
  }
}

void ConsoleLog::keep_tail(std::string_view bytes) {
  tail_ += bytes.substr(bytes.size() - std::min(bytes.size(), tail_bytes));
  if (tail_.size() > 2 * tail_bytes) tail_.erase(0, tail_.size() - tail_bytes);
}

bool ConsoleLog::tells_of_panic() const { return tail_.find(panic_words) != std::string::npos; }

std::string ConsoleLog::last_words() const {
  std::vector<std::string> lines;
  size_t end = 0;  // behind the last one to tell
  std::istringstream text(tail_);
  for (std::string line; std::getline(text, line);) {
    std::erase_if(line, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (line.empty()) continue;
    lines.push_back(as_utf8(line));
    // Its second time, after registers and stack, is in a line that begins with "---[ end".
    if (line.find(panic_words) != std::string::npos && line.find("---[ end") == std::string::npos) end = lines.size();
  }
  if (end == 0) end = lines.size();
  constexpr size_t most = 3;
  std::string joined;
  for (size_t n = end - std::min(end, most); n < end; ++n) joined += (joined.empty() ? "" : " | ") + lines[n];
  return joined;
}

void ConsoleLog::rotate() {
  file_ = fresh_file(path_);
  size_ = 0;
}

}  // namespace mvm::host
