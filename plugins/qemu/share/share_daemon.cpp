// SPDX-License-Identifier: Apache-2.0
#include "share/share_daemon.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mvm::qemu {
namespace {

constexpr size_t max_tag_bytes = 35;

void check(const std::string& subject, const SharingSupport& support, const ShareSpec& spec) {
  if (!support.supported) throw Error(MVM_ERR_UNSUPPORTED, support.reason);
  if (spec.tag.empty() || spec.tag.size() > max_tag_bytes || spec.tag.find('\0') != std::string::npos) {
    throw Error(MVM_ERR_INVALID,
                "share \"" + std::string(spec.tag.c_str()) + "\": a tag has 1 to 35 bytes, none of them NUL");
  }
  if (!spec.path.starts_with('/') || spec.path.find('\0') != std::string::npos) {
    throw Error(MVM_ERR_INVALID, subject + ": is not an absolute path");
  }
}

[[noreturn]] void throw_cannot_open(const std::string& subject, int error) {
  switch (error) {
    case ENOENT:
      throw Error(MVM_ERR_NOT_FOUND, subject + ": is not there");
    case ENOTDIR:
      throw Error(MVM_ERR_INVALID, subject + ": is not a directory");
    case ELOOP:
      throw Error(MVM_ERR_INVALID, subject + ": leads through a symbolic link; name the directory itself");
    case EACCES:
    case EPERM:
      throw Error(MVM_ERR_DENIED, subject + ": " + std::strerror(error));
    default:
      throw Error(MVM_ERR_INTERNAL, subject + ": " + std::strerror(error));
  }
}

// The host has resolved the path and decided that this directory may be shared. A link that appeared since leads to one
// that it did not decide about.
UniqueFd open_directory(const std::string& subject, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_NO_SYMLINKS;
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how)));
  if (!fd) throw_cannot_open(subject, errno);
  return fd;
}

ChildProcess::Command command_for(const SharingSupport& support, const ShareSpec& spec, int listening, int directory) {
  ChildProcess::Command command;
  command.arguments = daemon_arguments(support.version.kind, support.program, spec.state_dir);
  command.descriptors = {{listening, daemon_socket}, {directory, daemon_directory}};
  // Over the state directory: nobody but this user can put another one in its place, and the daemon needs nothing in
  // it.
  command.prepare = [own = ShareNamespace(support.privilege), target = spec.state_dir, read_only = spec.read_only] {
    if (const int error = own.enter(daemon_directory, target.c_str(), read_only)) return error;
    return limit_open_files();
  };
  return command;
}

}  // namespace

std::unique_ptr<ShareDaemon> ShareDaemon::start(boost::asio::io_context& loop, const SharingSupport& support,
                                                const ShareSpec& spec, std::chrono::milliseconds ready_timeout) {
  const std::string subject = "share " + spec.tag + ": " + spec.path;
  check(subject, support, spec);
  const UniqueFd directory = open_directory(subject, spec.path);
  try {
    VhostUserSockets sockets = make_vhost_user_sockets(spec.state_dir);
    auto child = ChildProcess::start(loop, command_for(support, spec, sockets.listening.get(), directory.get()));
    std::unique_ptr<ShareDaemon> daemon(new ShareDaemon(loop, subject, std::move(child)));
    daemon->greet(std::move(sockets.front_end), ready_timeout);
    return daemon;
  } catch (const Error& e) {
    throw Error(e.status(), subject + ": " + e.what());
  }
}

ShareDaemon::ShareDaemon(boost::asio::io_context& loop, std::string subject, std::unique_ptr<ChildProcess> child)
    : subject_(std::move(subject)), loop_(loop), child_(std::move(child)), deadline_(loop) {}

ShareDaemon::~ShareDaemon() = default;

void ShareDaemon::on_ready(std::function<void(UniqueFd)> fn) { ready_ = std::move(fn); }

void ShareDaemon::on_exit(std::function<void(ExitStatus, const std::string&)> fn) {
  child_->on_exit([this, fn = std::move(fn)](ExitStatus status) {
    deadline_.cancel();
    const std::string message = describe(status);
    fn(status, message);
  });
}

void ShareDaemon::greet(UniqueFd front_end, std::chrono::milliseconds timeout) {
  greeting_ = std::make_unique<VhostUserGreeting>(loop_, std::move(front_end),
                                                  [this](UniqueFd fd) { answered(std::move(fd)); });
  deadline_.expires_after(timeout);
  deadline_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& failed) {
    if (!failed && !alive.expired()) give_up();
  });
}

void ShareDaemon::answered(UniqueFd front_end) {
  deadline_.cancel();
  const auto greeting = std::move(greeting_);  // whose function this is
  const auto ready = std::move(ready_);
  if (ready) ready(std::move(front_end));
}

void ShareDaemon::give_up() {
  if (!greeting_) return;
  late_ = true;
  child_->kill(SIGKILL);
}

std::string ShareDaemon::describe(ExitStatus status) const {
  if (late_) return subject_ + ": virtiofsd did not answer in time, and was killed";
  std::string words = child_->last_output();
  std::replace(words.begin(), words.end(), '\n', ';');
  return subject_ + ": virtiofsd " + status.describe() + (words.empty() ? "" : ": " + words);
}

}  // namespace mvm::qemu
