// SPDX-License-Identifier: Apache-2.0
#include "launch/check_runner.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/utf8.hpp"
#include "check/machine.hpp"
#include "check/running_vm.hpp"
#include "check/subject.hpp"
#include "control/channel.hpp"
#include "launch/spawn.hpp"
#include "runner/noting_observer.hpp"
#include "store/crash_note.hpp"

namespace mvm::host {
namespace {

using check::Check;
using check::Finding;
using check::Verdict;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What a child says of a check: when it begins, and with a verdict when it has ended. Details follow it.
struct Report {
  uint32_t number;
  int32_t verdict;  // -1: begins
  uint32_t details_size;
};

void tell(int fd, size_t number, int verdict, const std::string& details) {
  const Report report{static_cast<uint32_t>(number), verdict, static_cast<uint32_t>(details.size())};
  std::string bytes(reinterpret_cast<const char*>(&report), sizeof report);
  write_all(fd, bytes + details);
}

std::string output_of(const std::filesystem::path& note) { return note.string() + ".output"; }

// The last lines that a child printed.
std::string last_words(const std::filesystem::path& note) {
  constexpr size_t largest = 16 * 1024 * 1024;
  const auto printed = read_file(output_of(note), largest);
  if (!printed) return {};
  std::string text = as_utf8(*printed);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  size_t from = text.size();
  for (int lines = 0; lines < 5 && from != std::string::npos; ++lines)
    from = from == 0 ? 0 : text.rfind('\n', from - 1);
  if (from == std::string::npos || text.size() - from > 2000) from = text.size() > 2000 ? text.size() - 2000 : 0;
  return text.empty() ? text : "\nit printed: " + text.substr(from);
}

// What children leave behind when they are killed goes with this directory.
class ScratchForAll {
 public:
  ScratchForAll() {
    if (const char* before = std::getenv("TMPDIR")) before_ = before;
    ::setenv("TMPDIR", directory_.path().c_str(), 1);
  }
  ScratchForAll(const ScratchForAll&) = delete;
  ScratchForAll& operator=(const ScratchForAll&) = delete;
  ~ScratchForAll() { before_.empty() ? ::unsetenv("TMPDIR") : ::setenv("TMPDIR", before_.c_str(), 1); }
  const std::filesystem::path& directory() const { return directory_.path(); }

 private:
  check::TempDir directory_;
  std::string before_;
};

// A child and the checks it was given, as far as they are not done.
class Child {
 public:
  Child(const std::vector<size_t>& numbers, std::vector<std::string> arguments, std::filesystem::path note)
      : left_(numbers), arguments_(std::move(arguments)), note_(std::move(note)) {}

  // Runs until all are done, or the child ended or was given up in one. What is then left: left().
  Result<void> run(const std::function<void(const CheckOutcome&)>& done) {
    auto [ours, theirs] = socket_pair();
    if (!ours) return fail(ErrorKind::failed, "plugin check: {}", errno_words(errno));
    std::string list;
    for (const size_t number : left_) list += (list.empty() ? "" : ",") + std::to_string(number);
    arguments_.insert(arguments_.end(), {"--child-checks", list, "--child-note", note_.string()});
    MVM_TRY(const pid_t pid, spawn_self(arguments_, theirs.get()));
    theirs.reset();
    began_ = steady_clock::now();
    const bool in_time = listen(ours.get(), done);
    // The whole session: what the plugin started goes with it.
    if (!in_time) ::kill(-pid, SIGKILL);
    const std::string ended = how_child_ended(pid);
    if (!left_.empty()) done(given_up(in_time, ended));
    if (!left_.empty()) left_.erase(left_.begin());
    return {};
  }

  const std::vector<size_t>& left() const { return left_; }

 private:
  static milliseconds limit() { return 3 * check::subject().deadline + milliseconds(5000); }

  // False: a check took too long.
  bool listen(int fd, const std::function<void(const CheckOutcome&)>& done) {
    for (;;) {
      const auto remaining = std::chrono::duration_cast<milliseconds>(began_ + limit() - steady_clock::now()).count();
      if (remaining <= 0) return false;
      pollfd p{fd, POLLIN, 0};
      if (::poll(&p, 1, static_cast<int>(remaining)) <= 0) continue;
      char piece[4096];
      const ssize_t n = ::recv(fd, piece, sizeof piece, MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return true;
      if (n > 0) heard_.append(piece, static_cast<size_t>(n));
      take_reports(done);
      if (left_.empty()) return true;
    }
  }

  void take_reports(const std::function<void(const CheckOutcome&)>& done) {
    Report report;
    while (heard_.size() >= sizeof report) {
      std::memcpy(&report, heard_.data(), sizeof report);
      if (heard_.size() - sizeof report < report.details_size) return;
      const std::string details = heard_.substr(sizeof report, report.details_size);
      heard_.erase(0, sizeof report + report.details_size);
      // A plugin can write to any descriptor: what is not of our making is passed over.
      if (left_.empty() || report.number != left_.front()) continue;
      if (report.verdict < 0) {
        began_ = steady_clock::now();
        continue;
      }
      const auto verdict =
          static_cast<Verdict>(std::min<int32_t>(report.verdict, static_cast<int32_t>(Verdict::failed)));
      left_.erase(left_.begin());
      done({report.number, {verdict, details}, elapsed()});
      began_ = steady_clock::now();
    }
  }

  int64_t elapsed() const { return std::chrono::duration_cast<milliseconds>(steady_clock::now() - began_).count(); }

  CheckOutcome given_up(bool in_time, const std::string& ended) const {
    const std::string where = CrashNote::where(note_);
    const std::string place = where.empty() ? "" : ": " + where;
    if (in_time)
      return {left_.front(), {Verdict::crashed, "its process " + ended + place + last_words(note_)}, elapsed()};
    return {left_.front(),
            {Verdict::failed, formatted("did not end within {} ms{} (MVM-P15)", limit().count(), place)},
            elapsed()};
  }

  std::vector<size_t> left_;
  std::vector<std::string> arguments_;
  std::filesystem::path note_;
  std::string heard_;
  steady_clock::time_point began_;
};

}  // namespace

Result<void> run_checks(const std::vector<size_t>& numbers, const std::vector<std::string>& arguments,
                        const std::function<void(const CheckOutcome&)>& done) {
  const ScratchForAll scratch;
  std::vector<size_t> sharing;
  const auto flush = [&]() -> Result<void> {
    while (!sharing.empty()) {
      Child child(sharing, arguments, scratch.directory() / "note");
      MVM_CHECK(child.run(done));
      sharing = child.left();
    }
    return {};
  };
  for (const size_t number : numbers) {
    const bool shares = check::subject().together ||
                        (check::subject().one_vm && check::all_checks()[number].sharing == check::shares_vm);
    if (!shares) MVM_CHECK(flush());
    sharing.push_back(number);
    if (!shares) MVM_CHECK(flush());
  }
  return flush();
}

int run_checks_as_child(const std::vector<size_t>& numbers, const std::string& note_file) {
  // Out of the way of whoever closes or writes to low numbers.
  const UniqueFd parent(::fcntl(launch_fd, F_DUPFD_CLOEXEC, 200));
  ::close(launch_fd);
  // What a plugin prints is told with the check that failed; the report on standard output stays one.
  if (const UniqueFd output = open_file(output_of(note_file), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND)) {
    ::dup2(output.get(), STDOUT_FILENO);
    ::dup2(output.get(), STDERR_FILENO);
  }
  auto note = CrashNote::open(note_file);
  if (!note || !parent) return 1;
  (*note)->set_plugin(check::subject().plugin.filename().string());
  NotingObserver calls(**note);
  check::Machine::call_log() = &calls;
  for (const size_t number : numbers) {
    if (number >= check::all_checks().size()) return 1;
    tell(parent.get(), number, -1, "");
    const Finding finding = check::run_here(check::all_checks()[number]);
    tell(parent.get(), number, static_cast<int>(finding.verdict), finding.details);
  }
  check::RunningVm::drop_kept();
  (*note)->ending();
  return 0;
}

}  // namespace mvm::host
