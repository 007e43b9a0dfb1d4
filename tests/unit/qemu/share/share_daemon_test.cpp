// SPDX-License-Identifier: Apache-2.0
#include "share/share_daemon.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fakes.hpp"
#include "support/catch.hpp"

using namespace std::chrono_literals;
using namespace mvm::test;
using mvm::Error;
using mvm::UniqueFd;
using mvm::qemu::ChildProcess;
using mvm::qemu::ExitStatus;
using mvm::qemu::find_sharing;
using mvm::qemu::Privilege;
using mvm::qemu::ShareDaemon;
using mvm::qemu::ShareNamespace;
using mvm::qemu::ShareSpec;
using mvm::qemu::SharingProbe;
using mvm::qemu::SharingSupport;
namespace fs = std::filesystem;

namespace {

constexpr auto deadline = 20s;
constexpr int deadline_ms = 20'000;

// Sharing as it is here, with another daemon; where namespaces are refused, that is the answer of the test.
SharingSupport sharing_with(const std::string& program) {
  SharingProbe probe = SharingProbe::of_this_system();
  probe.programs = {program};
  return find_sharing(probe);
}

bool possible(const SharingSupport& support) {
  if (!support.supported) WARN("not tried: " + support.reason);
  return support.supported;
}

// A directory to share, and one for the daemon's state.
struct Place {
  Place() {
    fs::create_directories(shared / "sub");
    fs::create_directory(state);
    std::ofstream(shared / "file") << "as it was\n";
  }
  ShareSpec spec(bool read_only) const { return {"data", shared.string(), read_only, state.string()}; }

  TempDir dir;
  fs::path shared = dir / "shared";
  fs::path state = dir / "state";
};

struct Outcome {
  bool ready = false;
  std::string end;
};

// Starts a daemon and runs it to its end; whoever gets its front end drops it.
Outcome run(const SharingSupport& support, const ShareSpec& spec,
            std::chrono::milliseconds ready_timeout = std::chrono::seconds(10),
            const std::function<void(ShareDaemon&)>& when_ready = {}) {
  boost::asio::io_context loop;
  std::unique_ptr<ShareDaemon> daemon;
  Outcome outcome;
  boost::asio::post(loop, [&] {
    daemon = ShareDaemon::start(loop, support, spec, ready_timeout);
    daemon->on_ready([&](UniqueFd) {
      outcome.ready = true;
      if (when_ready) when_ready(*daemon);
    });
    daemon->on_exit([&](ExitStatus, const std::string& message) { outcome.end = message; });
  });
  loop.run_for(deadline);
  daemon.reset();
  return outcome;
}

std::string refusal(const SharingSupport& support, const ShareSpec& spec, mvm_status expected) {
  boost::asio::io_context loop;
  std::string message;
  boost::asio::post(loop, [&] {
    try {
      ShareDaemon::start(loop, support, spec);
    } catch (const Error& e) {
      CHECK(e.status() == expected);
      message = e.what();
    }
  });
  loop.run_for(deadline);
  return message;
}

// Sharing that starts nothing, for what is refused before.
SharingSupport assumed() {
  SharingSupport support;
  support.supported = true;
  support.program = "/nowhere/virtiofsd";
  return support;
}

void write_file(const char* path, const std::string& text) {
  std::ofstream file(path);
  if (!(file << text << std::flush)) throw Error(MVM_ERR_INTERNAL, std::string(path) + ": cannot be written");
}

// This process becomes somebody who has no privileges, but supplementary groups.
void become_ordinary_user() {
  if (::geteuid() != 0) return;
  const gid_t groups[]{65534, 100};
  if (::setgroups(2, groups) != 0 || ::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) {
    throw Error(MVM_ERR_INTERNAL, "cannot become an ordinary user");
  }
  ::prctl(PR_SET_DUMPABLE, 1);  // as after an exec: /proc/self is this user's again
}

// A mount namespace in which this process may mount; in a user namespace where it is not root.
void enter_mount_namespace() {
  const std::string uid = "0 " + std::to_string(::geteuid()) + " 1";
  const std::string gid = "0 " + std::to_string(::getegid()) + " 1";
  const bool root = ::geteuid() == 0;
  if (::unshare(CLONE_NEWNS | (root ? 0 : CLONE_NEWUSER)) != 0) throw Error(MVM_ERR_INTERNAL, "no mount namespace");
  if (!root) {
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", uid);
    write_file("/proc/self/gid_map", gid);
  }
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw Error(MVM_ERR_INTERNAL, "propagation");
}

void mount_tmpfs(const fs::path& where) {
  if (::mount("tmpfs", where.c_str(), "tmpfs", 0, nullptr) != 0) throw Error(MVM_ERR_INTERNAL, "no tmpfs");
}

// The process that the daemon's sandbox consists of: the only child of the one that we started.
pid_t inner_process(pid_t outer) {
  const std::string path = "/proc/" + std::to_string(outer) + "/task/" + std::to_string(outer) + "/children";
  pid_t inner = -1;
  std::ifstream(path) >> inner;
  return inner;
}

// Watches a process that is not our child.
class Witness {
 public:
  explicit Witness(pid_t pid) : pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) { REQUIRE(pidfd_); }
  bool sees_the_end() const {
    pollfd end{pidfd_.get(), POLLIN, 0};
    return ::poll(&end, 1, deadline_ms) == 1;
  }

 private:
  UniqueFd pidfd_;
};

// What happens to who writes into what the real daemon serves, seen through its own root directory.
std::string write_through(const ShareDaemon& daemon) {
  const std::string root = "/proc/" + std::to_string(inner_process(daemon.pid())) + "/root";
  const UniqueFd file(::open((root + "/file").c_str(), O_RDONLY));
  if (!file) return root + ": " + std::strerror(errno);
  const UniqueFd written(::open((root + "/written").c_str(), O_CREAT | O_WRONLY, 0644));
  return written ? "written" : std::strerror(errno);
}

bool has_real_daemon() {
  const SharingSupport support = find_sharing();
  return possible(support);
}

}  // namespace

TEST_CASE("a share's tag has 1 to 35 bytes") {
  const Place place;
  ShareSpec spec = place.spec(true);
  for (const std::string& tag : {std::string(), std::string(36, 'x'), std::string("a\0b", 3)}) {
    spec.tag = tag;
    CHECK_THAT(refusal(assumed(), spec, MVM_ERR_INVALID),
               ContainsSubstring("a tag has 1 to 35 bytes, none of them NUL"));
  }
  spec.tag = std::string(35, 'x');
  CHECK_THAT(refusal(assumed(), spec, MVM_ERR_NOT_FOUND), ContainsSubstring("/nowhere/virtiofsd: cannot be started"));
}

TEST_CASE("only a directory can be shared, by a path without links") {
  const Place place;
  ShareSpec spec = place.spec(true);
  const std::string subject = "share data: " + place.shared.string();
  spec.path += "/missing";
  CHECK(refusal(assumed(), spec, MVM_ERR_NOT_FOUND) == subject + "/missing: is not there");
  spec.path = (place.shared / "file").string();
  CHECK(refusal(assumed(), spec, MVM_ERR_INVALID) == subject + "/file: is not a directory");
  fs::create_directory_symlink("sub", place.shared / "link");
  spec.path = (place.shared / "link").string();
  CHECK(refusal(assumed(), spec, MVM_ERR_INVALID) ==
        subject + "/link: leads through a symbolic link; name the directory itself");
  spec.path = "sub";
  CHECK(refusal(assumed(), spec, MVM_ERR_INVALID) == "share data: sub: is not an absolute path");
}

TEST_CASE("a directory that is closed to this user is not shared") {
  const std::string words = in_a_child([] {
    become_ordinary_user();
    const Place place;
    fs::permissions(place.shared, fs::perms::none);
    ShareSpec closed = place.spec(true);
    closed.path += "/sub";
    std::string message = refusal(assumed(), closed, MVM_ERR_DENIED);
    fs::permissions(place.shared, fs::perms::owner_all);
    return message.substr(message.rfind('/'));
  });
  CHECK(words == "/sub: Permission denied");
}

TEST_CASE("where nothing can be shared, a share is refused with the reason") {
  const Place place;
  SharingSupport support;
  support.reason = "share_dir: virtiofsd was not found";
  CHECK(refusal(support, place.spec(true), MVM_ERR_UNSUPPORTED) == "share_dir: virtiofsd was not found");
}

TEST_CASE("a daemon is ready when it answers, and ends when its connection does") {
  const FakeDaemons fakes;
  const SharingSupport support = sharing_with(fakes.named("rust"));
  if (!possible(support)) return;
  const Place place;
  const Outcome outcome = run(support, place.spec(true));
  CHECK(outcome.ready);
  CHECK(outcome.end == "share data: " + place.shared.string() + ": virtiofsd ended with exit code 0");
  CHECK(fs::is_empty(place.state));
}

TEST_CASE("a daemon that dies before it answers is reported with its last words") {
  const FakeDaemons fakes;
  const SharingSupport support = sharing_with(fakes.named("dying"));
  if (!possible(support)) return;
  const Place place;
  const Outcome outcome = run(support, place.spec(true));
  CHECK_FALSE(outcome.ready);
  CHECK(outcome.end ==
        "share data: " + place.shared.string() + ": virtiofsd ended with exit code 9: the disk of my dreams;is full");
}

TEST_CASE("a daemon that does not answer in time is killed, and that is said") {
  const FakeDaemons fakes;
  const SharingSupport support = sharing_with(fakes.named("mute"));
  if (!possible(support)) return;
  const Place place;
  const Outcome outcome = run(support, place.spec(true), 50ms);
  CHECK_FALSE(outcome.ready);
  CHECK(outcome.end == "share data: " + place.shared.string() + ": virtiofsd did not answer in time, and was killed");
}

TEST_CASE("a read-only share is read-only to the daemon itself, and so is what is mounted in it") {
  const FakeDaemons fakes;
  const SharingSupport support = sharing_with(fakes.named("writer"));
  if (!possible(support)) return;
  for (const bool read_only : {true, false}) {
    for (const Privilege privilege : {Privilege::root, Privilege::user_namespace}) {
      // As root of the system or of a user namespace, since something has to be mounted.
      const std::string end = in_a_child([&] {
        const Place place;
        enter_mount_namespace();
        mount_tmpfs(place.shared / "sub");
        SharingSupport as = support;
        as.privilege = privilege;
        std::string message = run(as, place.spec(read_only)).end;
        const bool written = fs::exists(place.shared / "written") || fs::exists(place.shared / "sub/written");
        ::umount((place.shared / "sub").c_str());
        return message + (written ? " (written)" : "");
      });
      CHECK_THAT(end, ContainsSubstring(read_only ? ": Read-only file system;Read-only file system"
                                                  : ": written;written (written)"));
    }
  }
}

TEST_CASE("what is mounted in a read-only share later does not show in it") {
  const FakeDaemons fakes;
  const SharingSupport support = sharing_with(fakes.named("rust"));
  if (!possible(support)) return;
  const std::string seen = in_a_child([&] {
    const Place place;
    enter_mount_namespace();
    // As systemd has it: mounts propagate to other namespaces.
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) return std::string("not shared");
    std::string through;
    run(support, place.spec(true), 10s, [&](ShareDaemon& daemon) {
      mount_tmpfs(place.shared / "sub");
      std::ofstream(place.shared / "sub/late") << "late";
      const fs::path in_daemon = "/proc/" + std::to_string(daemon.pid()) + "/root" + place.state.string() + "/sub";
      through = fs::exists(in_daemon) ? (fs::exists(in_daemon / "late") ? "shows" : "hidden") : "no share there";
    });
    ::umount((place.shared / "sub").c_str());
    return through;
  });
  CHECK(seen == "hidden");
}

TEST_CASE("the directory that was opened is served, even if another one has its path since") {
  if (!has_real_daemon()) return;
  const Place place;
  const UniqueFd opened(::open(place.shared.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  fs::rename(place.shared, place.dir / "moved");
  fs::create_directory(place.shared);
  std::ofstream(place.shared / "decoy") << "x";
  ChildProcess::Command command{{"/bin/ls", place.state.string()}, {{opened.get(), 3}}, {}};
  command.prepare = [own = ShareNamespace(find_sharing().privilege), target = place.state.string()] {
    return own.enter(3, target.c_str(), true);
  };
  boost::asio::io_context loop;
  std::unique_ptr<ChildProcess> child;
  boost::asio::post(loop, [&] { child = ChildProcess::start(loop, command); });
  loop.run_for(deadline);
  CHECK(child->last_output() == "file\nsub");
}

TEST_CASE("a state directory's path may be longer than a socket's address, and have a comma") {
  const FakeDaemons fakes;
  const SharingSupport support = sharing_with(fakes.named("lister"));
  if (!possible(support)) return;
  Place place;
  place.state = place.dir / std::string(200, 's') / "a,b";
  fs::create_directories(place.state);
  CHECK_THAT(run(support, place.spec(true)).end, ContainsSubstring("file") && ContainsSubstring("sub"));
  if (!has_real_daemon()) return;
  CHECK(run(find_sharing(), place.spec(true)).ready);
}

TEST_CASE("the daemon of this system serves the very directory, and read-only if that was said") {
  if (!has_real_daemon()) return;
  for (const bool read_only : {true, false}) {
    const Place place;
    std::string became;
    const Outcome outcome = run(find_sharing(), place.spec(read_only), 10s,
                                [&became](ShareDaemon& daemon) { became = write_through(daemon); });
    CHECK(outcome.ready);
    CHECK(became == (read_only ? "Read-only file system" : "written"));
    CHECK(fs::exists(place.shared / "written") == !read_only);
  }
}

TEST_CASE("a daemon may open as many files as this user, and 262144 at most") {
  if (!has_real_daemon()) return;
  rlimit ours{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &ours) == 0);
  const Place place;
  rlimit its{};
  run(find_sharing(), place.spec(true), 10s,
      [&its](ShareDaemon& daemon) { ::prlimit(inner_process(daemon.pid()), RLIMIT_NOFILE, nullptr, &its); });
  CHECK(its.rlim_cur == its.rlim_max);
  CHECK(its.rlim_cur <= 262144);
  CHECK(its.rlim_cur >= std::min<rlim_t>(ours.rlim_max, 262144));
}

TEST_CASE("an ordinary user shares too, whatever groups it is in") {
  if (!has_real_daemon()) return;
  for (const bool read_only : {true, false}) {
    const std::string became = in_a_child([read_only] {
      become_ordinary_user();
      const Place place;
      const SharingSupport support = find_sharing();
      if (support.privilege != Privilege::user_namespace || !support.supported) return "unsupported: " + support.reason;
      std::string text;
      const Outcome outcome =
          run(support, place.spec(read_only), 10s, [&text](ShareDaemon& daemon) { text = write_through(daemon); });
      return outcome.ready ? text : outcome.end;
    });
    CHECK(became == (read_only ? "Read-only file system" : "written"));
  }
}

TEST_CASE("a share that is destroyed leaves no process of the daemon's") {
  if (!has_real_daemon()) return;
  const Place place;
  std::optional<Witness> inner;
  boost::asio::io_context loop;
  std::unique_ptr<ShareDaemon> daemon;
  UniqueFd kept;
  boost::asio::post(loop, [&] {
    daemon = ShareDaemon::start(loop, find_sharing(), place.spec(true));
    daemon->on_ready([&](UniqueFd front_end) {
      kept = std::move(front_end);  // as QEMU would
      inner.emplace(inner_process(daemon->pid()));
      daemon.reset();
    });
  });
  loop.run_for(deadline);
  REQUIRE(inner);
  CHECK(inner->sees_the_end());
}

TEST_CASE("a share's daemon dies with the process that shares, even if that is killed") {
  if (!has_real_daemon()) return;
  const Place place;
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  const pid_t parent = ::fork();
  REQUIRE(parent >= 0);
  if (parent == 0) {
    boost::asio::io_context loop;
    std::unique_ptr<ShareDaemon> daemon;
    UniqueFd kept;
    boost::asio::post(loop, [&] {
      daemon = ShareDaemon::start(loop, find_sharing(), place.spec(true));
      daemon->on_ready([&](UniqueFd front_end) {
        kept = std::move(front_end);
        const std::array<pid_t, 2> pids{daemon->pid(), inner_process(daemon->pid())};
        if (::write(fds[1], pids.data(), sizeof pids) != sizeof pids) ::_exit(2);
      });
    });
    loop.run();
    ::_exit(1);
  }
  std::array<pid_t, 2> pids{-1, -1};
  REQUIRE(::read(fds[0], pids.data(), sizeof pids) == sizeof pids);
  const Witness outer(pids[0]);
  const Witness inner(pids[1]);
  ::kill(parent, SIGKILL);
  ::waitpid(parent, nullptr, 0);
  CHECK(outer.sees_the_end());
  CHECK(inner.sees_the_end());
  ::close(fds[0]);
  ::close(fds[1]);
}
