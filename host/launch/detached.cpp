// SPDX-License-Identifier: Apache-2.0
#include "launch/detached.hpp"

#include <cerrno>
#include <csignal>
#include <optional>

#include <boost/asio/io_context.hpp>

#include <sys/wait.h>

#include "base/file.hpp"
#include "base/process.hpp"
#include "control/channel.hpp"
#include "launch/spawn.hpp"

namespace mvm::host {
namespace {

bool is_stopped(pid_t pid) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

// Whoever hung up is about to end, if a plugin did not take its descriptors away. Whether it was killed.
bool kill_unless_it_ends(pid_t pid, bool at_once) {
  constexpr std::chrono::milliseconds patience{5000};
  if (!at_once && wait_process_end(pid, patience)) return false;
  ::kill(pid, SIGKILL);
  return true;
}

}  // namespace

Result<void> boot_detached(const std::vector<std::string>& arguments, const pb::BootRequest& request,
                           std::chrono::milliseconds silence, const ShowProgress& progress,
                           const std::function<std::string()>& explain_death) {
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
  bool silent = false;
  while (!report && !closed && !silent) {
    loop.restart();
    // One that runs keeps its own deadlines.
    silent = loop.run_one_for(silence) == 0 && is_stopped(pid);
  }
  if (!report) {
    const bool killed = kill_unless_it_ends(pid, silent);
    const std::string ended = how_child_ended(pid);
    const std::string where = explain_death();
    if (silent) {
      return fail(ErrorKind::deadline, "{}: its runner (pid {}) was stopped for {} ms, and was killed{}{}",
                  request.name(), pid, silence.count(), where.empty() ? "" : ": ", where);
    }
    if (killed) {
      return fail(ErrorKind::failed, "{}: its runner (pid {}) no longer heard, and was killed{}{}", request.name(), pid,
                  where.empty() ? "" : ": ", where);
    }
    return fail(ErrorKind::failed, "{}: its runner (pid {}) {} before the VM ran{}{}", request.name(), pid, ended,
                where.empty() ? "" : ": ", where);
  }
  if (report->has_running()) return {};
  // Gone for good before the caller hears of it: no lock is held any more.
  (void)how_child_ended(pid);
  return tl::unexpected(Error{static_cast<ErrorKind>(report->failure().exit_code()), report->failure().message()});
}

}  // namespace mvm::host
