// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/process.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#else
#include <sys/event.h>
#endif

namespace mvm::test {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

struct Pipe {
  Fd read_end;
  Fd write_end;
};

Pipe make_pipe() {
  int fds[2] = {-1, -1};
  if (::pipe(fds) != 0) throw std::runtime_error("pipe: " + std::string(std::strerror(errno)));
  for (const int fd : fds) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  return {Fd(fds[0]), Fd(fds[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

void take(Fd& fd, std::string& into) {
  char buffer[65536];
  const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
  if (n > 0) into.append(buffer, static_cast<size_t>(n));
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) fd.reset();
}

}  // namespace

Fd watch_exit(pid_t pid) {
#if defined(__linux__)
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
#else
  Fd queue(::kqueue());
  struct kevent change {};
  EV_SET(&change, pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
  if (::kevent(queue.get(), &change, 1, nullptr, 0, nullptr) != 0) return Fd();
  return queue;
#endif
}

Process::Process(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, in.read_end.get(), 0);
  ::posix_spawn_file_actions_adddup2(&actions, out.write_end.get(), 1);
  ::posix_spawn_file_actions_adddup2(&actions, err.write_end.get(), 2);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t defaults;
  ::sigemptyset(&defaults);
  ::sigaddset(&defaults, SIGPIPE);
  ::posix_spawnattr_setsigdefault(&attributes, &defaults);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  const int error = ::posix_spawnp(&pid_, command.front().c_str(), &actions, &attributes, pointers(command).data(),
                                   pointers(environment).data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (error != 0) throw std::runtime_error(command.front() + ": " + std::strerror(error));
  exit_watch_ = watch_exit(pid_);
  in_fd_ = std::move(in.write_end);
  out_fd_ = std::move(out.read_end);
  err_fd_ = std::move(err.read_end);
  for (const Fd* fd : {&in_fd_, &out_fd_, &err_fd_}) ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      exit_watch_(std::move(other.exit_watch_)),
      in_fd_(std::move(other.in_fd_)),
      out_fd_(std::move(other.out_fd_)),
      err_fd_(std::move(other.err_fd_)),
      to_write_(std::move(other.to_write_)),
      end_input_(other.end_input_),
      reaped_(other.reaped_),
      wait_status_(other.wait_status_),
      out_(std::move(other.out_)),
      err_(std::move(other.err_)) {}

Process::~Process() {
  if (pid_ <= 0 || reaped_) return;
  ::kill(pid_, SIGKILL);
  reap();
}

void Process::reap() {
  while (::waitpid(pid_, &wait_status_, 0) < 0 && errno == EINTR) {
  }
  reaped_ = true;
}

void Process::send_signal(int signal) const {
  if (!reaped_) ::kill(pid_, signal);
}

void Process::write(std::string_view bytes) {
  to_write_ += bytes;
  pump_until([this] { return to_write_.empty() || !in_fd_; }, process_deadline);
}

void Process::end_input() {
  end_input_ = true;
  if (to_write_.empty()) in_fd_.reset();
}

bool Process::has_ended() { return reaped_ || readable(exit_watch_.get(), milliseconds(0)); }

bool Process::wait_out(std::string_view text, milliseconds limit) {
  pump_until([&] { return out_.find(text) != std::string::npos || !out_fd_; }, limit);
  return out_.find(text) != std::string::npos;
}

bool Process::wait_err(std::string_view text, milliseconds limit) {
  pump_until([&] { return err_.find(text) != std::string::npos || !err_fd_; }, limit);
  return err_.find(text) != std::string::npos;
}

Outcome Process::wait(milliseconds limit) {
  pump_until([this] { return reaped_ && !out_fd_ && !err_fd_; }, limit);
  const bool was_alive = !reaped_;
  if (was_alive) {
    ::kill(pid_, SIGKILL);
    reap();
  }
  if (was_alive) throw std::runtime_error("did not end in time; said: " + out_ + err_);
  if (out_fd_ || err_fd_)
    throw std::runtime_error("it ended, but somebody keeps its output open; said: " + out_ + err_);
  const int code = WIFSIGNALED(wait_status_) ? 128 + WTERMSIG(wait_status_) : WEXITSTATUS(wait_status_);
  return {code, out_, err_};
}

void Process::pump_until(const std::function<bool()>& done, milliseconds limit) {
  const auto end = Clock::now() + limit;
  for (;;) {
    if (to_write_.empty() && end_input_) in_fd_.reset();
    if (done()) return;
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now()).count();
    if (left <= 0) return;
    const bool writing = in_fd_ && !to_write_.empty();
    pollfd fds[] = {{reaped_ ? -1 : exit_watch_.get(), POLLIN, 0},
                    {writing ? in_fd_.get() : -1, POLLOUT, 0},
                    {out_fd_.get(), POLLIN, 0},
                    {err_fd_.get(), POLLIN, 0}};
    if (::poll(fds, 4, static_cast<int>(left)) <= 0) continue;
    if (fds[0].revents != 0) reap();
    if (fds[1].revents != 0) {
      const ssize_t n = ::write(in_fd_.get(), to_write_.data(), to_write_.size());
      if (n > 0) to_write_.erase(0, static_cast<size_t>(n));
      if (n < 0 && errno == EPIPE) in_fd_.reset();
    }
    if (fds[2].revents != 0) take(out_fd_, out_);
    if (fds[3].revents != 0) take(err_fd_, err_);
  }
}

bool eventually(const std::function<bool()>& condition, milliseconds limit) {
  const auto end = Clock::now() + limit;
  while (!condition()) {
    if (Clock::now() > end) return false;
    ::poll(nullptr, 0, 5);
  }
  return true;
}

}  // namespace mvm::test
