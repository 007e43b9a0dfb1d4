// SPDX-License-Identifier: Apache-2.0
// What mvmhost adds to a guest's boot: from the start of `mvmhost boot` until the kernel says that it runs init, beside
// a plain QEMU with the very arguments that mvmhost's had. In turn, round by round.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.hpp"
#include "sandbox.hpp"
#include "vsock/vsock_device.hpp"

using namespace mvm;
using namespace mvm::bench;
namespace fs = std::filesystem;

namespace {

using Arguments = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds boot_deadline{120};
constexpr int idle_seconds = 10;
constexpr const char* marker = "Run /init as init process";

// ---- a console in a file

// Waits for text in a file that is not there yet. It looks once a millisecond at most: QEMU writes the console byte by
// byte, and the processor is the guest's.
class FileWatch {
 public:
  explicit FileWatch(fs::path file) : file_(std::move(file)) {
    const uint32_t what = IN_CREATE | IN_MODIFY | IN_MOVED_TO;
    if (!inotify_ || ::inotify_add_watch(inotify_.get(), file_.parent_path().c_str(), what) < 0) give_up(file_);
  }

  void wait_for(const std::string& text) {
    const auto deadline = Clock::now() + boot_deadline;
    while (!has(text)) {
      if (!changes_before(deadline)) give_up("\"" + text + "\" did not come up on the console:\n" + seen_);
    }
  }

 private:
  bool has(const std::string& text) {
    std::ifstream in(file_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(seen_.size()));
    seen_.append(std::istreambuf_iterator<char>(in), {});
    return seen_.find(text) != std::string::npos;
  }

  bool changes_before(Clock::time_point deadline) const {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{inotify_.get(), POLLIN, 0};
    char events[4096];
    return left > 0 && ::poll(&waiting, 1, static_cast<int>(left)) == 1 &&
           ::read(inotify_.get(), events, sizeof events) > 0;
  }

  const fs::path file_;
  const UniqueFd inotify_{::inotify_init1(IN_CLOEXEC)};
  std::string seen_;
};

// ---- processes

// Its output thrown away, `inherited` as descriptor `number`; it ends with us.
pid_t start(const Arguments& command, int inherited = -1, int number = -1) {
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) give_up("fork");
  if (pid > 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int null = ::open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
  if (inherited >= 0) ::dup2(inherited, number);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

std::string output_of(const std::string& command) {
  std::string text;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) give_up(command);
  char buffer[4096];
  for (size_t n = 0; (n = ::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  ::pclose(pipe);
  return text;
}

// ---- mvmhost

struct Guest {
  std::string kernel;
  std::string initrd;
  std::string accelerator;
};

class Ours {
 public:
  Ours(const Sandbox& sandbox, const Guest& guest)
      : boot_{MVMHOST,
              "--hypervisor",
              "qemu",
              "boot",
              vm,
              "--kernel",
              guest.kernel,
              "--initrd",
              guest.initrd,
              "--cpus",
              "1",
              "--memory",
              "256M",
              "--option",
              "accel=" + guest.accelerator,
              "--cmdline",
              "console=ttyS0 panic=-1 no_timer_check cryptomgr.notests"},
        console_(sandbox.vm(vm) / "console.log") {}

  // The first boot, which makes the VM's directory: not measured.
  void boot_first() const { must_run(boot_); }

  // Seconds until init. The VM runs then.
  double boot() const {
    fs::remove(console_);
    FileWatch console(console_);
    const auto begin = Clock::now();
    const pid_t pid = start(boot_);
    console.wait_for(marker);
    const std::chrono::duration<double> took = Clock::now() - begin;
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid || status != 0) give_up("mvmhost boot failed");
    return took.count();
  }

  static void stop() { must_run({MVMHOST, "stop", vm, "--force"}); }

  // Of the QEMU that runs.
  static Arguments arguments() {
    const std::string process = "/proc/" + process_of("hypervisor_pid") + "/cmdline";
    std::ifstream in(process, std::ios::binary);
    Arguments all;
    for (std::string word; std::getline(in, word, '\0');) all.push_back(word);
    if (all.empty()) give_up(process);
    return all;
  }

  // How often the runner's threads, the plugin's among them, wake up while a guest that is up has nothing to do.
  static long idle_wake_ups() {
    must_run({MVMHOST, "vsock-connect", vm, "7", "--timeout", "60s"});
    const fs::path process = "/proc/" + process_of("pid");  // which asks the runner
    // The guest asks for an address, and a connection that was closed is watched for 8 s.
    std::this_thread::sleep_for(std::chrono::seconds(15));
    const long before = wake_ups(process);
    std::this_thread::sleep_for(std::chrono::seconds(idle_seconds));
    return wake_ups(process) - before;
  }

 private:
  static std::string process_of(const std::string& field) {
    const std::string details = output_of(std::string(MVMHOST) + " inspect " + vm + " --output json");
    const size_t key = details.find("\"" + field + "\":");
    const size_t begin = details.find_first_of("0123456789", key);
    if (key == std::string::npos || begin == std::string::npos) give_up("mvmhost inspect names no " + field);
    return details.substr(begin, details.find_first_not_of("0123456789", begin) - begin);
  }

  static constexpr const char* vm = "bench";
  const Arguments boot_;
  const fs::path console_;
};

// ---- the same, plain

// mvmhost's QEMU has three descriptors of the plugin's: QMP, vsock, the console.
class Plain {
 public:
  Plain(const Arguments& ours, fs::path console) : console_(std::move(console)) {
    for (size_t n = 0; n < ours.size(); ++n) {
      const std::string value = n + 1 < ours.size() ? ours[n + 1] : "";
      if (ours[n] == "-S") continue;
      if (ours[n] == "-mon" || (ours[n] == "-chardev" && value.starts_with("socket,id=qmp,"))) {
        ++n;
      } else if (ours[n] == "-chardev" && value.starts_with("socket,id=con,")) {
        arguments_.insert(arguments_.end(), {"-chardev", "file,id=con,path=" + console_.string()});
        ++n;
      } else {
        if (ours[n].starts_with(vsock_socket)) vsock_descriptor_ = std::atoi(ours[n].c_str() + strlen(vsock_socket));
        arguments_.push_back(ours[n]);
      }
    }
    const auto strangers = std::count_if(arguments_.begin(), arguments_.end(),
                                         [](const auto& word) { return word.find("fd=") != std::string::npos; });
    if (vsock_descriptor_ < 0 || strangers != 1) give_up("mvmhost's QEMU has descriptors that are not known here");
  }

  double boot() const {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
    UniqueFd front_end(ends[0]);
    const auto idle_peer = qemu::VsockDevice::start(UniqueFd(ends[1]), {});
    fs::remove(console_);
    FileWatch console(console_);
    const auto begin = Clock::now();
    const pid_t pid = start(arguments_, front_end.get(), vsock_descriptor_);
    front_end.reset();
    console.wait_for(marker);
    const std::chrono::duration<double> took = Clock::now() - begin;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return took.count();
  }

 private:
  static constexpr const char* vsock_socket = "socket,id=vsock,fd=";
  const fs::path console_;
  Arguments arguments_;
  int vsock_descriptor_ = -1;
};

void print(const char* what, const Spread& s) {
  std::printf("%-44s %8.3f %8.3f %8.3f s\n", what, s.min, s.median, s.max);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "Usage: mvm-boot-bench KERNEL INITRD [ROUNDS [kvm|tcg]]   (scripts/make-guest makes both)\n");
    return 2;
  }
  const int rounds = argc > 3 ? std::max(1, std::atoi(argv[3])) : 9;
  const Guest guest{argv[1], argv[2], argc > 4 ? argv[4] : "tcg"};
  static const Sandbox sandbox;  // static: gone after give_up too
  const Ours ours(sandbox, guest);
  now_measuring("mvmhost");
  ours.boot_first();
  const Plain plain(Ours::arguments(), sandbox.directory() / "plain.log");
  Ours::stop();
  now_measuring("plain QEMU");
  plain.boot();

  std::vector<double> ours_s, plain_s, ratios;
  const auto measure_ours = [&] {
    now_measuring("mvmhost");
    ours_s.push_back(ours.boot());
    Ours::stop();
  };
  const auto measure_plain = [&] {
    now_measuring("plain QEMU");
    plain_s.push_back(plain.boot());
  };
  for (int round = 0; round < rounds; ++round) {
    if (round % 2 == 0) measure_ours();
    measure_plain();
    if (round % 2 != 0) measure_ours();
    ratios.push_back(ours_s.back() / plain_s.back());
  }
  std::printf("%-44s %8s %8s %8s   %d rounds, %s\n", "", "min", "median", "max", rounds, guest.accelerator.c_str());
  print("mvmhost boot, whole process, until init", spread_of(ours_s));
  print("plain QEMU with the same arguments", spread_of(plain_s));
  const Spread ratio = spread_of(ratios);
  std::printf("%-44s %8s %8.3f %8s     goal <= 1.03; round by round %.3f to %.3f, median %.3f\n",
              "ratio of the medians", "", spread_of(ours_s).median / spread_of(plain_s).median, "", ratio.min,
              ratio.max, ratio.median);
  now_measuring("mvmhost");
  ours.boot();
  std::printf("%-44s %8s %8ld %8s     goal 0\n", "wake-ups of runner and plugin, idle for 10 s", "",
              Ours::idle_wake_ups(), "");
  Ours::stop();
  std::printf(
      "The plain QEMU has no QMP and is not told to wait for it (-S), writes its console into a file itself, and has\n"
      "its vsock device served by this program, which does nothing else.\n");
  return 0;
}
