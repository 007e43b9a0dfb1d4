// SPDX-License-Identifier: Apache-2.0
#include "measure.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace mvm::bench {

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double quantile) {
    return values[std::min(values.size() - 1, static_cast<size_t>(quantile * static_cast<double>(values.size())))];
  };
  return {values.front(), at(0.5), at(0.99), values.back()};
}

Spread time_ms(int runs, const std::function<void()>& work, const std::function<void()>& between) {
  using Clock = std::chrono::steady_clock;
  work();
  between();
  std::vector<double> values;
  for (int i = 0; i < runs; ++i) {
    const auto begin = Clock::now();
    work();
    values.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    between();
  }
  return spread_of(std::move(values));
}

void in_turn(std::vector<Entrant>& all, int rounds) {
  using Clock = std::chrono::steady_clock;
  for (int round = 0; round <= rounds; ++round) {
    for (auto& entrant : all) {
      now_measuring(entrant.name);
      const auto begin = Clock::now();
      entrant.work();
      const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
      entrant.between();
      if (round > 0) entrant.ms.push_back(took.count());
    }
  }
}

void print_in_turn(const std::string& heading, const std::vector<Entrant>& all) {
  std::printf("\n%-44s %10s %10s %10s   %s\n", heading.c_str(), "min", "median", "max", "to the first");
  for (const auto& entrant : all) {
    const Spread s = spread_of(entrant.ms);
    std::printf("  %-42s %10.2f %10.2f %10.2f ms %.2f x\n", entrant.name.c_str(), s.min, s.median, s.max,
                s.median / spread_of(all.front().ms).median);
  }
  std::fflush(stdout);
}

bool in_path(const std::string& command) { return run({"sh", "-c", "command -v " + command}) == 0; }

int run(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  int status = -1;
  if (error != 0 || ::waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

void must_run(const std::vector<std::string>& command) {
  if (run(command) == 0) return;
  std::fprintf(stderr, "benchmark: failed:");
  for (const auto& word : command) std::fprintf(stderr, " %s", word.c_str());
  std::fprintf(stderr, "\n");
  std::exit(1);
}

long status_field(const std::filesystem::path& process, const std::string& key) {
  std::ifstream lines(process / "status");
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key, 0) == 0) return std::strtol(line.c_str() + key.size(), nullptr, 10);
  }
  return 0;
}

long wake_ups(const std::filesystem::path& process, long except) {
  long all = 0;
  for (const auto& thread : std::filesystem::directory_iterator(process / "task")) {
    if (thread.path().filename() == std::to_string(except)) continue;
    all += status_field(thread.path(), "voluntary_ctxt_switches:");
    all += status_field(thread.path(), "nonvoluntary_ctxt_switches:");
  }
  return all;
}

static std::string& measured() {
  static std::string who = "benchmark";
  return who;
}

void now_measuring(const std::string& who) { measured() = who; }

void note(const std::string& what) {
  std::fprintf(stderr, "%s: %s: %s\n", measured().c_str(), what.c_str(), std::strerror(errno));
}

void give_up(const std::string& why) {
  note(why);
  std::exit(1);
}

}  // namespace mvm::bench
