// SPDX-License-Identifier: Apache-2.0
#include "command.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "fd.hpp"

extern char** environ;

namespace mvm::client {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds grace{5000};         // from SIGTERM to SIGKILL
constexpr milliseconds killed_limit{5000};  // for the kernel to end what was killed

// Its exit code comes by a pipe, not by wait(2): that is lost where the program ignores SIGCHLD or waits for any child.
// SIGTERM, which the whole group gets, is for the command alone: the shell waits for its end.
constexpr const char* report_exit_code = R"(trap : TERM; "$@" 3>&-; echo $? >&3)";
constexpr int status_fd = 3;

std::string errno_words(int error) { return std::generic_category().message(error); }

std::string variable(const char* name) {
#if defined(__GLIBC__)
  const char* value = ::secure_getenv(name);
#else
  const char* value = ::issetugid() != 0 ? nullptr : ::getenv(name);
#endif
  return value == nullptr ? "" : value;
}

bool is_program(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

std::string in_path(const std::string& name) {
  const std::string path = variable("PATH");
  for (size_t begin = 0; begin < path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    std::string candidate = path.substr(begin, end - begin) + "/" + name;
    // Not what is relative: the current directory may be anybody's.
    if (candidate.front() == '/' && end > begin && is_program(candidate)) return candidate;
    begin = end + 1;
  }
  return {};
}

std::string beside_library() {
  Dl_info found{};
  if (::dladdr(reinterpret_cast<const void*>(&mvmc_version), &found) == 0 || found.dli_fname == nullptr) return {};
  const std::string file = found.dli_fname;
  const size_t slash = file.rfind('/');
  if (slash == std::string::npos) return {};
  // lib/, and Debian's lib/x86_64-linux-gnu/.
  for (const char* up : {"/../bin/mvmhost", "/../../bin/mvmhost"}) {
    if (std::string candidate = file.substr(0, slash) + up; is_program(candidate)) return candidate;
  }
  return {};
}

struct Pipe {
  Fd read;
  Fd write;
};

// Above the descriptors that the child is given, so that none of them is overwritten before it was duplicated.
Fd move_up(int fd) {
  Fd low(fd);
  Fd high(::fcntl(fd, F_DUPFD_CLOEXEC, 10));
  if (high.get() < 0) throw Failure(MVMC_FAILED, "a pipe: " + errno_words(errno));
  return high;
}

Pipe make_pipe() {
  std::array<int, 2> ends{};
#if defined(__linux__)
  const int made = ::pipe2(ends.data(), O_CLOEXEC);
#else
  const int made = ::pipe(ends.data());
#endif
  if (made != 0) throw Failure(MVMC_FAILED, "a pipe: " + errno_words(errno));
  Fd second(ends[1]);
  Pipe pipe;
  pipe.read = move_up(ends[0]);
  pipe.write = move_up(second.release());
  ::fcntl(pipe.read.get(), F_SETFL, O_NONBLOCK);
  return pipe;
}

class SpawnSetup {
 public:
  SpawnSetup(const Pipe& out, const Pipe& err, const Pipe& status) {
    if (::posix_spawn_file_actions_init(&actions_) != 0) throw std::bad_alloc();
    if (::posix_spawnattr_init(&attributes_) != 0) {
      ::posix_spawn_file_actions_destroy(&actions_);
      throw std::bad_alloc();
    }
    ::posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions_, out.write.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, err.write.get(), STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions_, status.write.get(), status_fd);
    short flags = POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    // None of the program's own descriptors: a runner lives long.
#if defined(__APPLE__)
    flags |= POSIX_SPAWN_CLOEXEC_DEFAULT;
#elif defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, status_fd + 1);
#endif
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setpgroup(&attributes_, 0);
    ::posix_spawnattr_setflags(&attributes_, flags);
  }
  SpawnSetup(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }

  pid_t spawn(const std::vector<std::string>& command, const std::vector<std::string>& environment) const {
    const auto pointers = [](const std::vector<std::string>& strings) {
      std::vector<char*> out;
      out.reserve(strings.size() + 1);
      for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
      out.push_back(nullptr);
      return out;
    };
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, command.front().c_str(), &actions_, &attributes_, pointers(command).data(),
                                    pointers(environment).data());
    if (error != 0) throw Failure(MVMC_FAILED, command.front() + ": cannot be run: " + errno_words(error));
    return pid;
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

// What there is. False: the end.
bool drain(const Fd& from, std::string& into) {
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got > 0) {
      into.append(buffer.data(), static_cast<size_t>(got));
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    }
  }
}

// A child in a group of its own, and its three pipes.
class Child {
 public:
  Child(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
    Pipe out_pipe = make_pipe();
    Pipe err_pipe = make_pipe();
    Pipe status_pipe = make_pipe();
    pid_ = SpawnSetup(out_pipe, err_pipe, status_pipe).spawn(command, environment);
    out_fd_ = std::move(out_pipe.read);
    err_fd_ = std::move(err_pipe.read);
    status_fd_ = std::move(status_pipe.read);
  }
  Child(const Child&) = delete;
  // Ours only, and it has ended or was killed. ECHILD: the program has waited for it.
  ~Child() {
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  // The exit code was told, or nobody is left who would. False: it was time.
  bool wait(Clock::time_point until) {
    for (;;) {
      std::array<pollfd, 3> fds{
          {{status_fd_.get(), POLLIN, 0}, {out_fd_.get(), POLLIN, 0}, {err_fd_.get(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), milliseconds_until(until)) < 0 && errno != EINTR && errno != EAGAIN)
        return false;
      const bool more = drain(status_fd_, status);
      if (!drain(out_fd_, out)) out_fd_.reset();
      if (!drain(err_fd_, err)) err_fd_.reset();
      if (!more || (!status.empty() && status.back() == '\n')) return true;
      if (Clock::now() >= until) return false;
    }
  }
  void signal(int number) const { ::kill(-pid_, number); }

  std::string out;
  std::string err;
  std::string status;

 private:
  pid_t pid_ = -1;
  Fd out_fd_;
  Fd err_fd_;
  Fd status_fd_;
};

// mvmhost's own words, without its name and the newline.
std::string words_of(std::string text) {
  constexpr std::string_view name = "mvmhost: ";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.starts_with(name)) text.erase(0, name.size());
  return text;
}

}  // namespace

int milliseconds_until(Clock::time_point when) {
  const auto left = std::chrono::ceil<milliseconds>(when - Clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 3'600'000));
}

std::string find_program(const std::string& program) {
  const std::string said = program.empty() ? variable("MVMHOST") : program;
  if (!said.empty()) {
    std::string found = said.find('/') == std::string::npos ? in_path(said) : is_program(said) ? said : "";
    if (!found.empty()) return found;
    throw Failure(MVMC_FAILED,
                  said + ": is no executable file: " +
                      (program.empty() ? "set MVMHOST to mvmhost's path" : "say mvmhost's path as program"));
  }
  std::string found = in_path("mvmhost");
  if (found.empty()) found = beside_library();
  if (!found.empty()) return found;
  throw Failure(MVMC_FAILED,
                "mvmhost: is neither in PATH nor beside libmvmclient: install it, or set MVMHOST to its path");
}

std::vector<std::string> copy_environment() {
  std::vector<std::string> copy;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) copy.emplace_back(*entry);
  return copy;
}

std::string run(const std::vector<std::string>& command, const std::vector<std::string>& environment,
                Clock::time_point deadline) {
  std::vector<std::string> wrapped = {"/bin/sh", "-c", report_exit_code, "sh"};
  wrapped.insert(wrapped.end(), command.begin(), command.end());
  Child child(wrapped, environment);
  if (!child.wait(deadline)) {
    child.signal(SIGTERM);
    if (!child.wait(Clock::now() + grace)) {
      child.signal(SIGKILL);
      child.wait(Clock::now() + killed_limit);
    }
    const std::string said = words_of(child.err);
    throw Failure(MVMC_DEADLINE,
                  command.front() + ": did not end in time, and was ended" + (said.empty() ? "" : ": " + said));
  }
  const int code = child.status.empty() ? -1 : std::atoi(child.status.c_str());
  if (code == 0) return std::move(child.out);
  const std::string said = words_of(child.err);
  if (code < 0 || code > MVMC_UNSUPPORTED) {
    const std::string how = code < 0 ? "was killed" : "ended with " + std::to_string(code);
    throw Failure(MVMC_FAILED, command.front() + ": " + how + (said.empty() ? "" : ": " + said));
  }
  throw Failure(code, said.empty() ? command.front() + ": ended with " + std::to_string(code) : said);
}

}  // namespace mvm::client
