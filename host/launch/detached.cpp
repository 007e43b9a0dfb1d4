// SPDX-License-Identifier: Apache-2.0
#include "launch/detached.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>

#include <boost/asio/io_context.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/local_socket.hpp"
#include "base/process.hpp"
#include "control/channel.hpp"
#include "launch/launchd_job.hpp"
#include "launch/spawn.hpp"
#include "store/socket_dir.hpp"
#include "store/vm_lock.hpp"

namespace mvm::host {
namespace {

// Whoever hung up is about to end, if a plugin did not take its descriptors away. Whether it was killed.
bool kill_unless_it_ends(pid_t pid, bool at_once) {
  constexpr std::chrono::milliseconds patience{5000};
  if (!at_once && wait_process_end(pid, patience)) return false;
  ::kill(pid, SIGKILL);
  return true;
}

// How long launchd may take from being asked to a runner that has connected.
constexpr std::chrono::seconds launchd_patience{20};

// Somebody of this user's; others are turned away.
Result<UniqueFd> accept_ours(int listener, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    pollfd wait{listener, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(left.count(), 0)));
    if (ready == 0) {
      return fail(ErrorKind::deadline, "launchd did not start it within {} s: see Console.app, or `log show`",
                  std::chrono::duration_cast<std::chrono::seconds>(limit).count());
    }
    UniqueFd peer(ready < 0 ? -1 : ::accept(listener, nullptr, nullptr));
    if (!peer || !peer_is_us(peer.get())) continue;
    ::fcntl(peer.get(), F_SETFD, FD_CLOEXEC);
    return peer;
  }
}

// Waits for its end.
std::string how_ended(const StartedRunner& runner) {
  if (runner.is_child) return how_child_ended(runner.pid);
  wait_process_end(runner.pid, std::nullopt);
  return "ended";
}

}  // namespace

Result<StartedRunner> start_as_child(const std::vector<std::string>& arguments) {
  auto [ours, theirs] = socket_pair();
  if (!ours) return fail(ErrorKind::failed, "socketpair: {}", errno_words(errno));
  MVM_TRY(const pid_t pid, spawn_self(arguments, theirs.get()));
  return StartedRunner{pid, true, std::move(ours), {}};
}

namespace {

// Of all that would start or take out the VM's job, one at a time. Empty: another is at it, or the VM runs.
Result<UniqueFd> take_turn(const VmStore& store, const VmName& name, const VmSockets& sockets) {
  UniqueFd turn = open_file(sockets.directory, O_RDONLY | O_DIRECTORY);
  if (!turn) return fail(ErrorKind::failed, "{}: {}", sockets.directory.string(), errno_words(errno));
  if (::flock(turn.get(), LOCK_EX | LOCK_NB) != 0 || VmLock::is_held(store.paths(name))) return UniqueFd();
  // A runner that ends removes the directory: a lock on one that is gone is nobody's turn.
  struct stat ours {};
  struct stat there {};
  if (::fstat(turn.get(), &ours) != 0 || ::stat(sockets.directory.c_str(), &there) != 0 ||
      ours.st_ino != there.st_ino) {
    return fail(ErrorKind::failed, "{}: was just ending: boot it again", name.str());
  }
  return turn;
}

}  // namespace

Result<StartedRunner> start_by_launchd(const VmStore& store, const VmName& name, std::vector<std::string> arguments) {
  MVM_TRY(const VmSockets sockets, make_socket_dir(store.home(), name));
  MVM_TRY(UniqueFd turn, take_turn(store, name, sockets));
  if (!turn) return start_as_child(arguments);
  const auto socket = sockets.directory / "boot.sock";
  MVM_TRY(const UniqueFd listener, listen_local(socket));
  arguments.insert(arguments.begin(), own_executable().string());
  arguments.insert(arguments.end(), {"--launched-at", socket.string()});
  const LaunchdJob job(store.home(), name);
  Result<UniqueFd> runner = UniqueFd();
  if (const auto started = job.start(sockets.directory / "boot.plist", arguments); !started) {
    runner = tl::unexpected(started.error());
  } else if (runner = accept_ours(listener.get(), launchd_patience); !runner) {
    (void)job.boot_out();
  }
  std::error_code ignored;
  std::filesystem::remove(socket, ignored);
  if (runner) return StartedRunner{peer_pid(runner->get()), false, std::move(*runner), std::move(turn)};
  return fail(runner.error().kind, "{}: {}", name.str(), runner.error().message);
}

Result<StartedRunner> start_without_launchd(const VmStore& store, const VmName& name,
                                            const std::vector<std::string>& arguments) {
  MVM_TRY(const VmSockets sockets, make_socket_dir(store.home(), name));
  MVM_TRY(const UniqueFd turn, take_turn(store, name, sockets));
  if (turn) (void)LaunchdJob(store.home(), name).boot_out();  // left loaded it does nothing
  return start_as_child(arguments);
}

Result<void> boot_detached(const StartRunner& start, const pb::BootRequest& request, std::chrono::milliseconds silence,
                           const ShowProgress& progress, const std::function<std::string()>& explain_death) {
  MVM_TRY(StartedRunner runner, start());
  const pid_t pid = runner.pid;
  boost::asio::io_context loop(1);
  std::optional<pb::BootReport> report;
  bool closed = false;
  const auto channel = Channel::open(
      loop, std::move(runner.socket),
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
    silent = loop.run_one_for(silence) == 0 && process_stopped(pid);
  }
  if (!report) {
    const bool killed = kill_unless_it_ends(pid, silent);
    const std::string ended = how_ended(runner);
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
  (void)how_ended(runner);
  return tl::unexpected(Error{static_cast<ErrorKind>(report->failure().exit_code()), report->failure().message()});
}

}  // namespace mvm::host
