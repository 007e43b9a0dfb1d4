// SPDX-License-Identifier: Apache-2.0
#include "accelerator_trial.hpp"

#include <cerrno>
#include <utility>

#include <sys/socket.h>

#include "socket_pair.hpp"

namespace mvm::qemu {

std::shared_ptr<AcceleratorTrial> AcceleratorTrial::start(boost::asio::io_context& loop, const LaunchFacts& facts,
                                                          const std::string& kernel, std::chrono::milliseconds limit,
                                                          std::function<void(const TrialResult&)> done) {
  SocketPair console = make_socket_pair();
  std::shared_ptr<AcceleratorTrial> trial(new AcceleratorTrial(loop));
  trial->child_ =
      ChildProcess::start(loop, {trial_command_line(kernel, facts), {{console.theirs.get(), console_descriptor}}, {}});
  trial->console_.assign(boost::asio::local::stream_protocol(), console.ours.get());
  console.ours.release();
  trial->console_.native_non_blocking(true);
  trial->done_ = std::move(done);
  trial->deadline_.expires_after(limit);
  trial->deadline_.async_wait([trial, limit](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    trial->finish({false, "the kernel did not come up under it within " + std::to_string(limit.count()) + " ms"});
  });
  trial->watch_console();
  trial->child_->on_exit([weak = trial->weak_from_this()](ExitStatus status) {
    const auto self = weak.lock();
    if (!self) return;
    self->read_console();  // its last words
    if (!self->child_) return;
    const std::string words = self->child_->last_output();
    self->finish({false, "QEMU " + status.describe() + (words.empty() ? "" : ": " + words)});
  });
  return trial;
}

void AcceleratorTrial::watch_console() {
  console_.async_wait(Socket::wait_read, [self = shared_from_this()](const boost::system::error_code& failed) {
    if (failed || !self->child_) return;
    self->read_console();
  });
}

void AcceleratorTrial::read_console() {
  constexpr std::string_view proof = "Kernel panic - not syncing";
  std::array<char, 4096> piece;
  ssize_t n = 0;
  while ((n = ::recv(console_.native_handle(), piece.data(), piece.size(), 0)) > 0) {
    said_.append(piece.data(), static_cast<size_t>(n));
    if (said_.find(proof) != std::string::npos) return finish({true, ""});
    if (said_.size() > proof.size()) said_.erase(0, said_.size() - proof.size());
  }
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) watch_console();
}

void AcceleratorTrial::finish(const TrialResult& result) {
  const auto self = shared_from_this();
  const auto done = std::exchange(done_, nullptr);
  cancel();
  if (done) done(result);
}

void AcceleratorTrial::cancel() noexcept {
  done_ = nullptr;
  child_.reset();
  boost::system::error_code ignored;
  console_.close(ignored);
  try {
    deadline_.cancel();
  } catch (...) {
    // it then runs out by itself and finds nobody to tell
  }
}

}  // namespace mvm::qemu
