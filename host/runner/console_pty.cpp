// SPDX-License-Identifier: Apache-2.0
#include "runner/console_pty.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {
namespace {

Result<void> make_raw(int terminal) {
  termios settings{};
  if (::tcgetattr(terminal, &settings) != 0) return fail(ErrorKind::failed, "console pty: {}", errno_words(errno));
  ::cfmakeraw(&settings);  // the guest's own line discipline echoes and edits
  if (::tcsetattr(terminal, TCSANOW, &settings) == 0) return {};
  return fail(ErrorKind::failed, "console pty: {}", errno_words(errno));
}

}  // namespace

Result<std::shared_ptr<ConsolePty>> ConsolePty::open(boost::asio::io_context& loop, OnTyped on_typed) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY));
  if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0) {
    return fail(ErrorKind::failed, "console pty: {}", errno_words(errno));
  }
  const char* name = ::ptsname(master.get());  // the loop's thread is the only one that asks
  std::string path = name != nullptr ? name : "";
  UniqueFd terminal(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal) return fail(ErrorKind::failed, "console pty {}: {}", path, errno_words(errno));
  MVM_CHECK(make_raw(terminal.get()));
  ::fchmod(terminal.get(), 0600);  // some systems let the group tty write
  ::fcntl(master.get(), F_SETFD, FD_CLOEXEC);
  ::fcntl(master.get(), F_SETFL, ::fcntl(master.get(), F_GETFL) | O_NONBLOCK);
  std::shared_ptr<ConsolePty> pty(
      new ConsolePty(loop, std::move(master), std::move(terminal), std::move(path), std::move(on_typed)));
  pty->wait();
  return pty;
}

ConsolePty::ConsolePty(boost::asio::io_context& loop, UniqueFd master, UniqueFd terminal, std::string path,
                       OnTyped on_typed)
    : master_(loop, master.release()),
      terminal_(std::move(terminal)),
      path_(std::move(path)),
      on_typed_(std::move(on_typed)) {}

void ConsolePty::print(std::string_view bytes) noexcept {
  if (master_.is_open()) (void)!::write(master_.native_handle(), bytes.data(), bytes.size());
}

void ConsolePty::close() {
  boost::system::error_code ignored;
  master_.close(ignored);
  terminal_.reset();
  on_typed_ = {};
}

void ConsolePty::wait() {
  master_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (!error && self->read_some()) self->wait();
                     });
}

bool ConsolePty::read_some() {
  std::array<char, 4096> typed;
  const ssize_t n = ::read(master_.native_handle(), typed.data(), typed.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR;
  if (n == 0) return false;
  if (on_typed_) on_typed_({typed.data(), static_cast<size_t>(n)});
  return true;
}

}  // namespace mvm::host
