// SPDX-License-Identifier: Apache-2.0
#include "control/control_client.hpp"

#include <cerrno>

#include "base/file.hpp"
#include "base/local_socket.hpp"

namespace mvm::host {

Result<std::unique_ptr<ControlClient>> ControlClient::connect(const std::filesystem::path& path) {
  UniqueFd fd = connect_local(path);
  if (!fd) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
  if (!peer_is_us(fd.get())) return fail(ErrorKind::failed, "{}: belongs to another user", path.string());
  std::unique_ptr<ControlClient> client(new ControlClient);
  auto* self = client.get();
  client->channel_ = Channel::open(
      client->loop_, std::move(fd),
      [self](Channel& channel, std::string_view bytes) {
        Answer answer;
        if (!answer.reply.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return channel.close();
        if (answer.reply.with_fd()) answer.fd = channel.take_fd();
        self->answers_.push_back(std::move(answer));
      },
      [self](Channel&) { self->closed_ = true; });
  return client;
}

void ControlClient::run_until(const std::function<bool()>& done, std::optional<std::chrono::milliseconds> deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline.value_or(std::chrono::hours(24 * 365 * 10));
  while (!done() && std::chrono::steady_clock::now() < end) {
    loop_.restart();
    loop_.run_one_until(end);
  }
}

Result<ControlClient::Answer> ControlClient::call(pb::ControlRequest request, std::chrono::milliseconds deadline) {
  request.set_id(++last_id_);
  channel_->send(request.SerializeAsString());
  const auto answered = [&] { return !answers_.empty() && answers_.front().reply.id() == last_id_; };
  run_until(
      [&] {
        while (!answers_.empty() && !answered()) answers_.pop_front();  // of calls that were given up
        return answered() || closed_;
      },
      deadline);
  if (!answered()) {
    if (closed_) return fail(ErrorKind::failed, "its runner went away before it answered");
    return fail(ErrorKind::deadline, "its runner did not answer within {} ms", deadline.count());
  }
  Answer answer = std::move(answers_.front());
  answers_.pop_front();
  if (answer.reply.has_failure()) {
    const auto& failure = answer.reply.failure();
    return tl::unexpected(Error{static_cast<ErrorKind>(failure.exit_code()), failure.message()});
  }
  return answer;
}

bool ControlClient::wait_closed(std::optional<std::chrono::milliseconds> deadline) {
  run_until([this] { return closed_; }, deadline);
  return closed_;
}

}  // namespace mvm::host
