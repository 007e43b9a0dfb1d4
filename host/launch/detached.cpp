// SPDX-License-Identifier: Apache-2.0
#include "launch/detached.hpp"

#include <cerrno>
#include <optional>

#include <boost/asio/io_context.hpp>

#include "base/file.hpp"
#include "control/channel.hpp"
#include "launch/spawn.hpp"

namespace mvm::host {
Result<void> boot_detached(const std::vector<std::string>& arguments, const pb::BootRequest& request,
                           const ShowProgress& progress, const std::function<std::string()>& explain_death) {
  auto [ours, theirs] = socket_pair();
  if (!ours) return fail(ErrorKind::failed, "{}: {}", request.name(), errno_words(errno));
  MVM_TRY(const pid_t pid, spawn_self(arguments, theirs.get()));
  theirs.reset();

  boost::asio::io_context loop(1);
  std::optional<pb::BootReport> report;
  bool closed = false;
  const auto channel = Channel::open(
      loop, std::move(ours),
      [&](Channel& from, std::string_view bytes) {
        pb::BootReport heard;
        if (!heard.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return from.close();
        if (heard.has_copying()) {
          progress(heard.copying().done_bytes(), heard.copying().total_bytes());
        } else {
          report = std::move(heard);
        }
      },
      [&](Channel&) { closed = true; });
  channel->send(request.SerializeAsString());
  while (!report && !closed) {
    loop.restart();
    loop.run_one();
  }
  if (!report) {
    const std::string ended = how_child_ended(pid);
    const std::string where = explain_death();
    return fail(ErrorKind::failed, "{}: its runner (pid {}) {} before the VM ran{}{}", request.name(), pid, ended,
                where.empty() ? "" : ": ", where);
  }
  if (report->has_running()) return {};
  // Gone for good before the caller hears of it: no lock is held any more.
  (void)how_child_ended(pid);
  return tl::unexpected(Error{static_cast<ErrorKind>(report->failure().exit_code()), report->failure().message()});
}

}  // namespace mvm::host
