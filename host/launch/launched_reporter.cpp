// SPDX-License-Identifier: Apache-2.0
#include "launch/launched_reporter.hpp"

#include <optional>

#include <fcntl.h>
#include <sys/socket.h>

#include "base/file.hpp"
#include "base/local_socket.hpp"
#include "base/log.hpp"
#include "launch/spawn.hpp"

namespace mvm::host {

namespace {

Result<UniqueFd> launcher(const std::filesystem::path& launched_at) {
  int type = 0;
  socklen_t size = sizeof type;
  UniqueFd fd = launched_at.empty() ? UniqueFd(launch_fd) : connect_local(launched_at);
  if (fd && ::getsockopt(fd.get(), SOL_SOCKET, SO_TYPE, &type, &size) == 0 && peer_is_us(fd.get())) return fd;
  (void)fd.release();  // was nobody's, or goes with the process
  return fail(ErrorKind::invalid, "--launched: is for mvmhost's own use: use boot or run");
}

}  // namespace

Result<std::unique_ptr<LaunchedReporter>> LaunchedReporter::receive(boost::asio::io_context& loop,
                                                                    const std::filesystem::path& launched_at,
                                                                    pb::BootRequest& request) {
  MVM_TRY(UniqueFd socket, launcher(launched_at));
  auto reporter = std::make_unique<LaunchedReporter>();
  reporter->caller_ = socket.get();
  // Outlives this function with the channel's callbacks.
  struct Arrival {
    std::optional<pb::BootRequest> request;
    bool closed = false;
  };
  const auto arrival = std::make_shared<Arrival>();
  reporter->channel_ = Channel::open(
      loop, std::move(socket),
      [arrival](Channel& channel, std::string_view bytes) {
        pb::BootRequest parsed;
        if (arrival->request) return;
        if (!parsed.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return channel.close();
        arrival->request = std::move(parsed);
      },
      [arrival, self = reporter.get()](Channel&) {
        arrival->closed = true;
        self->caller_ = -1;
        self->channel_ = nullptr;
        if (self->give_up_) self->give_up_();
      });
  while (!arrival->request && !arrival->closed) {
    loop.restart();
    loop.run_one();
  }
  loop.restart();
  if (!arrival->request) return fail(ErrorKind::failed, "the launcher went away before it said what to boot");
  request = *arrival->request;
  return reporter;
}

void LaunchedReporter::copying(uint64_t done_bytes, uint64_t total_bytes) {
  pb::BootReport report;
  report.mutable_copying()->set_done_bytes(done_bytes);
  report.mutable_copying()->set_total_bytes(total_bytes);
  if (channel_) channel_->send(report.SerializeAsString());
}

void LaunchedReporter::running() {
  pb::BootReport report;
  report.mutable_running();
  send_last(report);
}

void LaunchedReporter::failed(const Error& error) {
  log::error("{}", error.message);
  pb::BootReport report;
  report.mutable_failure()->set_exit_code(static_cast<int>(error.kind));
  report.mutable_failure()->set_message(error.message);
  send_last(report);
}

void LaunchedReporter::send_last(const pb::BootReport& report) {
  give_up_ = [] {};  // from here on the launcher may go
  if (const auto channel = channel_) {
    channel->send(report.SerializeAsString());
    channel->close_when_sent();
  }
}

}  // namespace mvm::host
