// SPDX-License-Identifier: Apache-2.0
#include "child_process.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <sys/pidfd.h>  // glibc 2.36 forgot to say that these are C
}

#include "exec_in_child.hpp"

namespace mvm::qemu {
namespace {

constexpr size_t max_tail_bytes = 4096;
constexpr size_t max_tail_lines = 20;
// At one go: twice what a pipe holds, so that all of an ended child's words are among them.
constexpr size_t max_drain_bytes = 128 * 1024;

[[noreturn]] void throw_errno(const std::string& program, const char* what, int error) {
  throw Error(MVM_ERR_INTERNAL, program + ": " + what + ": " + std::strerror(error));
}

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Pipe make_pipe(const std::string& program) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw_errno(program, "cannot make a pipe", errno);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<std::string> clean_environment() {
  std::vector<std::string> all{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C"};
  for (const char* name : {"HOME", "TMPDIR"}) {
    const char* value = std::getenv(name);
    if (value != nullptr) all.push_back(std::string(name) + "=" + value);
  }
  return all;
}

// As exec wants them; borrows the strings.
std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (const std::string& s : strings) all.push_back(const_cast<char*>(s.c_str()));
  all.push_back(nullptr);
  return all;
}

std::vector<DescriptorMove> plan_moves(int null, int output, const std::vector<std::pair<int, int>>& descriptors) {
  std::vector<DescriptorMove> moves{{null, 0, -1}, {output, 1, -1}, {output, 2, -1}};
  for (const auto& [ours, number] : descriptors) moves.push_back({ours, number, -1});
  std::sort(moves.begin(), moves.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  assert(moves.front().number == 0);
  assert(std::adjacent_find(moves.begin(), moves.end(),
                            [](const auto& a, const auto& b) { return a.number == b.number; }) == moves.end());
  return moves;
}

class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

// fork and not vfork: in a child that shares our memory, a handler or a lock of the host's could run under prepare. Its
// price hardly depends on the guests: their memory is a shared mapping, of which fork copies no page tables (0.6 ms
// with and without 512 MiB of it, measured). And _Fork, so that no fork handlers of the host's libraries run.
pid_t fork_into(ChildPlan& plan) {
  const AllSignalsBlocked blocked;
  const pid_t pid = ::_Fork();
  if (pid == 0) exec_in_child(plan);
  return pid;
}

// Blocks until the child has exec'd (nothing) or given up.
std::optional<ChildFailure> read_report(int fd) {
  ChildFailure failure{};
  ssize_t n = 0;
  do {
    n = ::read(fd, &failure, sizeof failure);
  } while (n < 0 && errno == EINTR);
  if (n == 0) return std::nullopt;
  if (n != sizeof failure) return ChildFailure{ChildStep::setup, EIO};
  return failure;
}

std::string describe(const ChildFailure& failure) {
  const std::string reason = std::strerror(failure.error);
  switch (failure.step) {
    case ChildStep::prepare:
      return "cannot be prepared: " + reason;
    case ChildStep::exec:
      return "cannot be started: " + reason;
    case ChildStep::setup:
      break;
  }
  return "cannot be set up: " + reason;
}

mvm_status status_of(const ChildFailure& failure) {
  if (failure.step != ChildStep::exec) return MVM_ERR_INTERNAL;
  if (failure.error == ENOENT) return MVM_ERR_NOT_FOUND;
  return failure.error == EACCES ? MVM_ERR_DENIED : MVM_ERR_INTERNAL;
}

ExitStatus status_of(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return {ExitStatus::Kind::exited, info.si_status, 0};
  return {ExitStatus::Kind::killed, 0, info.si_status};
}

}  // namespace

class ChildProcess::Watch : public std::enable_shared_from_this<Watch> {
 public:
  // pid: a child of ours, not yet waited for.
  Watch(boost::asio::io_context& loop, pid_t pid, UniqueFd pidfd, UniqueFd output)
      : pid_(pid), exit_(loop, pidfd.release()), output_(loop, output.release()) {
    output_.non_blocking(true);
  }

  void begin() {
    exit_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& failed) {
                       if (!failed) self->ended();
                     });
    watch_output();
  }

  // Afterwards no handler does anything.
  void close() noexcept {
    fn_ = nullptr;
    closed_ = true;
    if (!status_) reap();
    drain();
    boost::system::error_code ignored;
    exit_.close(ignored);
    output_.close(ignored);
  }

  void on_exit(std::function<void(ExitStatus)> fn) {
    fn_ = std::move(fn);
    if (status_) boost::asio::post(exit_.get_executor(), [self = shared_from_this()] { self->tell(); });
  }

  void kill(int signal) noexcept {
    if (!status_) ::pidfd_send_signal(exit_.native_handle(), signal, nullptr, 0);
  }

  pid_t pid() const noexcept { return pid_; }
  const std::string& tail() const noexcept { return tail_; }

 private:
  void ended() {
    if (closed_ || status_) return;
    reap();
    drain();
    boost::system::error_code ignored;
    output_.close(ignored);
    tell();
  }

  void tell() {
    if (!fn_) return;
    const auto fn = std::exchange(fn_, nullptr);
    fn(*status_);
  }

  // Waits for the child, after the whole group was killed: until it is waited for, its id is nobody else's.
  void reap() noexcept {
    siginfo_t info{};
    const int pidfd = exit_.native_handle();
    const auto id = static_cast<id_t>(pidfd);
    if (::waitid(P_PIDFD, id, &info, WEXITED | WNOHANG | WNOWAIT) == 0) ::kill(-pid_, SIGKILL);
    // Asio has made the pidfd non-blocking, and waitid would obey that.
    pollfd ended{pidfd, POLLIN, 0};
    while (::poll(&ended, 1, -1) < 0 && errno == EINTR) continue;
    status_ = ::waitid(P_PIDFD, id, &info, WEXITED) == 0 ? status_of(info) : ExitStatus{};
  }

  // Waits, and reads in its handler: bytes that an asynchronous read had taken would be on their way still when the end
  // is told.
  void watch_output() {
    output_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& failed) {
                         if (failed || self->closed_ || self->status_) return;
                         if (self->drain()) self->watch_output();
                       });
  }

  // Reads what is there. False when no more will come.
  bool drain() noexcept {
    boost::system::error_code failed;
    for (size_t total = 0; !failed && total < max_drain_bytes;) {
      const size_t size = output_.read_some(boost::asio::buffer(buffer_), failed);
      keep({buffer_.data(), size});
      total += size;
    }
    return !failed || failed == boost::asio::error::would_block;
  }

  void keep(std::string_view bytes) {
    tail_ += bytes;
    if (tail_.size() > max_tail_bytes) tail_.erase(0, tail_.size() - max_tail_bytes);
  }

  const pid_t pid_;
  boost::asio::posix::stream_descriptor exit_;    // a pidfd
  boost::asio::posix::stream_descriptor output_;  // our end of the child's 1 and 2
  std::array<char, 4096> buffer_{};
  std::string tail_;
  std::optional<ExitStatus> status_;  // once it was waited for
  std::function<void(ExitStatus)> fn_;
  bool closed_ = false;
};

ChildProcess::ChildProcess(std::shared_ptr<Watch> watch) : watch_(std::move(watch)) {}
ChildProcess::~ChildProcess() { watch_->close(); }

std::unique_ptr<ChildProcess> ChildProcess::start(boost::asio::io_context& loop, const Command& command) {
  assert(loop.get_executor().running_in_this_thread());
  assert(!command.arguments.empty() && command.arguments[0].starts_with('/'));
  const std::string& program = command.arguments[0];
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) throw_errno(program, "/dev/null", errno);
  Pipe output = make_pipe(program);
  Pipe report = make_pipe(program);

  const std::vector<std::string> environment = clean_environment();
  const std::vector<char*> arguments = pointers_to(command.arguments);
  const std::vector<char*> variables = pointers_to(environment);
  ChildPlan plan{::getpid(),         plan_moves(null.get(), output.write.get(), command.descriptors),
                 report.write.get(), &command.prepare,
                 program.c_str(),    arguments.data(),
                 variables.data()};
  const pid_t pid = fork_into(plan);
  if (pid < 0) throw_errno(program, "cannot fork", errno);
  output.write.reset();
  report.write.reset();
  UniqueFd pidfd(::pidfd_open(pid, 0));
  if (!pidfd) {
    const int error = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    throw_errno(program, "cannot watch it", error);
  }

  const auto watch = std::make_shared<Watch>(loop, pid, std::move(pidfd), std::move(output.read));
  std::unique_ptr<ChildProcess> child(new ChildProcess(watch));
  if (const auto failure = read_report(report.read.get())) {
    watch->close();
    const std::string words = child->last_output();
    const std::string message = program + ": " + describe(*failure) + (words.empty() ? "" : ": " + words);
    if (failure->step == ChildStep::prepare) throw PreparationError(MVM_ERR_INTERNAL, message);
    throw Error(status_of(*failure), message);
  }
  watch->begin();
  return child;
}

pid_t ChildProcess::pid() const noexcept { return watch_->pid(); }
void ChildProcess::on_exit(std::function<void(ExitStatus)> fn) { watch_->on_exit(std::move(fn)); }
void ChildProcess::kill(int signal) noexcept { watch_->kill(signal); }

std::string ChildProcess::last_output() const {
  std::string text = watch_->tail();
  while (text.ends_with('\n')) text.pop_back();
  size_t start = text.size();
  for (size_t lines = 0; lines < max_tail_lines && start != 0; ++lines) {
    start = text.rfind('\n', start - 1);
    if (start == std::string::npos) start = 0;
  }
  text.erase(0, start == 0 ? 0 : start + 1);
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c != '\n' && (c < ' ' || c > '~'); }, '?');
  return text;
}

}  // namespace mvm::qemu
