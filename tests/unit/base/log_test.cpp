// SPDX-License-Identifier: Apache-2.0
#include "base/log.hpp"

#include <csignal>
#include <regex>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/base/temp_dir.hpp"

using namespace mvm::host;
using mvm::test::ContainsSubstring;
using mvm::test::slurp;
using mvm::test::TempDir;

namespace {

unsigned mode_of(const std::filesystem::path& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

// Standard error goes to a file meanwhile.
class CapturedStderr {
 public:
  explicit CapturedStderr(const std::filesystem::path& path) : saved_(::dup(2)) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ::dup2(fd, 2);
    ::close(fd);
  }
  ~CapturedStderr() {
    ::dup2(saved_, 2);
    ::close(saved_);
  }

 private:
  int saved_;
};

}  // namespace

TEST_CASE("a line in the log file has the time with milliseconds, the level and the text") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  log::warn("disk {}: {} of {}", "a.img", 1, 2);
  const std::regex line(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d warning: disk a\.img: 1 of 2\n)");
  const std::string text = slurp(dir / "runner.log");
  INFO(text);
  CHECK(std::regex_match(text, line));
}

TEST_CASE("a record below the level is neither written nor formatted") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::warn, false));
  CHECK_FALSE(log::enabled(log::Level::info));
  CHECK(log::enabled(log::Level::error));
  CHECK_FALSE(log::enabled(log::Level::off));
  log::info("quiet");
  log::write(log::Level::debug, "quiet too");
  log::error("loud");
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("error: loud"));
  CHECK_THAT(slurp(dir / "runner.log"), !ContainsSubstring("quiet"));
}

TEST_CASE("a message with braces is text, not a format") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  log::write(log::Level::info, "guest says {} %v {0:d}");
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("info: guest says {} %v {0:d}\n"));
}

TEST_CASE("standard error takes records from its own level on, beside the file's") {
  const TempDir dir;
  {
    const CapturedStderr captured(dir / "stderr");
    log::to_stderr(log::Level::warn);
    REQUIRE(log::to_file(dir / "runner.log", log::Level::debug, true));
    log::info("for the file");
    log::error("for both");
  }
  CHECK(slurp(dir / "stderr") == "mvmhost: error: for both\n");
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("for the file"));
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("for both"));
}

TEST_CASE("the log file and its predecessor are for their owner only, whatever the umask") {
  const TempDir dir;
  const mode_t before = ::umask(0);
  const bool opened = log::to_file(dir / "runner.log", log::Level::info, false);
  const std::string line(1000, 'x');
  for (int i = 0; i < 5000; ++i) log::write(log::Level::info, line);
  ::umask(before);
  REQUIRE(opened);
  CHECK(mode_of(dir / "runner.log") == 0600);
  CHECK(mode_of(dir / "runner.log.1") == 0600);
}

TEST_CASE("the log keeps two files of 4 MiB at most and the newest lines") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  const std::string filler(1000, 'x');
  for (int i = 0; i < 14000; ++i) log::info("{} {}", i, filler);
  const size_t limit = 4 * 1024 * 1024;
  CHECK(std::filesystem::file_size(dir / "runner.log") <= limit);
  CHECK(std::filesystem::file_size(dir / "runner.log.1") <= limit);
  CHECK(std::filesystem::file_size(dir / "runner.log.1") > limit - 2000);
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("info: 13999 x"));
  CHECK_FALSE(std::filesystem::exists(dir / "runner.log.2"));
}

TEST_CASE("an existing log is continued") {
  const TempDir dir;
  dir.write("runner.log", "earlier\n");
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  log::info("later");
  CHECK_THAT(slurp(dir / "runner.log"), mvm::test::StartsWith("earlier\n") && ContainsSubstring("later"));
}

TEST_CASE("a log that cannot be opened is told of, and the earlier one goes on") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  CHECK_FALSE(log::to_file(dir / "missing" / "runner.log", log::Level::info, false));
  std::filesystem::create_symlink(dir / "elsewhere", dir / "link.log");
  CHECK_FALSE(log::to_file(dir / "link.log", log::Level::info, false));
  log::info("still here");
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("still here"));
}

TEST_CASE("a log that can be written no further harms nobody") {
  const TempDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    // What a full disk does, for this process only.
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    if (!log::to_file(dir / "runner.log", log::Level::info, false)) ::_exit(2);
    for (int i = 0; i < 1000; ++i) log::info("a line that soon finds no room, number {}", i);
    log::flush();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(std::filesystem::file_size(dir / "runner.log") <= 4096);
}

TEST_CASE("a rotation without a free descriptor loses no line and recovers") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  const std::string filler(100000, 'x');
  for (int i = 0; i < 41; ++i) log::write(log::Level::info, filler);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit none{0, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  log::write(log::Level::info, filler);
  log::info("in need");
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  log::info("in plenty");
  CHECK_THAT(slurp(dir / "runner.log.1"), ContainsSubstring("in need"));
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("in plenty"));
}

TEST_CASE("a line is in the file before the process dies of a signal") {
  const TempDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    if (!log::to_file(dir / "runner.log", log::Level::debug, false)) ::_exit(2);
    log::debug("last words");
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  CHECK_THAT(slurp(dir / "runner.log"), ContainsSubstring("debug: last words\n"));
}

TEST_CASE("threads log at once, a whole line each") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 500; ++i) log::info("whole");
    });
  }
  for (auto& t : threads) t.join();
  const std::string text = slurp(dir / "runner.log");
  const std::regex line(R"([^ \n]+ info: whole\n)");
  CHECK(std::distance(std::sregex_iterator(text.begin(), text.end(), line), std::sregex_iterator()) == 2000);
}

TEST_CASE("the log file is not passed on to child processes") {
  const TempDir dir;
  REQUIRE(log::to_file(dir / "runner.log", log::Level::info, false));
  struct stat wanted {};
  REQUIRE(::stat((dir / "runner.log").c_str(), &wanted) == 0);
  for (int fd = 3; fd < 256; ++fd) {
    struct stat found {};
    if (::fstat(fd, &found) == 0 && found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev) {
      CHECK((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
  }
}
