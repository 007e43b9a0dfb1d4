// SPDX-License-Identifier: Apache-2.0
#include "runner/console_log.hpp"

#include <array>
#include <cerrno>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/log.hpp"

namespace mvm::host {

struct ConsoleLog::Source {
  explicit Source(boost::asio::io_context& loop, UniqueFd fd) : descriptor(loop, fd.release()) {}
  boost::asio::posix::stream_descriptor descriptor;
};

namespace {

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

void ConsoleLog::drain(UniqueFd fd) {
  ::fcntl(fd.get(), F_SETFL, ::fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
  auto source = std::make_shared<Source>(loop_, std::move(fd));
  source_ = source;
  wait(source);
}

void ConsoleLog::drain_now() {
  const auto source = source_.lock();
  // Bounded, in case the guest's end is still there and busy.
  for (int i = 0; source && i < 256 && read_some(*source); ++i) {
    if (errno == EAGAIN) return;
  }
}

void ConsoleLog::wait(const std::shared_ptr<Source>& source) {
  source->descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                [self = shared_from_this(), source](const boost::system::error_code& error) {
                                  if (!error && self->read_some(*source)) self->wait(source);
                                });
}

bool ConsoleLog::read_some(Source& source) {
  std::array<char, 16384> buffer;
  errno = 0;
  const ssize_t n = ::read(source.descriptor.native_handle(), buffer.data(), buffer.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  append({buffer.data(), static_cast<size_t>(n)});
  return n > 0;
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

void ConsoleLog::rotate() {
  file_ = fresh_file(path_);
  size_ = 0;
}

}  // namespace mvm::host
