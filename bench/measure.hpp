// SPDX-License-Identifier: Apache-2.0
// Figures with their spread, and commands as whole processes.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace mvm::bench {

struct Spread {
  double min = 0;
  double median = 0;
  double p99 = 0;
  double max = 0;
};

Spread spread_of(std::vector<double> values);

// Wall milliseconds of `work`, `runs` times after one run that isn't counted; `between` runs uncounted after each.
Spread time_ms(int runs, const std::function<void()>& work, const std::function<void()>& between);

// One of those that are measured in turn.
struct Entrant {
  std::string name;
  std::function<void()> work;
  std::function<void()> between = [] {};  // uncounted, after each
  std::vector<double> ms = {};            // filled by in_turn
};

// Wall milliseconds of each one's work, round by round, so that a machine that slows down slows all of them. One round
// before is not counted.
void in_turn(std::vector<Entrant>& all, int rounds);

// Least, median and greatest of each, and what its median is to that of the first, which is ours.
void print_in_turn(const std::string& heading, const std::vector<Entrant>& all);

// Whether a command of that name is in PATH.
bool in_path(const std::string& command);

// Runs a command, its output thrown away, and returns its exit code.
int run(const std::vector<std::string>& command);

// The same that has to succeed: ends the benchmark with a message otherwise.
void must_run(const std::vector<std::string>& command);

// A number in /proc/PID/status (or /proc/PID/task/TID/status), such as that of "VmRSS:"; 0 where it is not there.
// Linux.
long status_field(const std::filesystem::path& process, const std::string& key);

// How often the threads of a process (/proc/PID) were put on a processor so far, whatever for; not thread `except`.
long wake_ups(const std::filesystem::path& process, long except = 0);

// Who is being measured, for the messages of give_up and note.
void now_measuring(const std::string& who);

// To standard error, with errno's words.
void note(const std::string& what);

// Ends the benchmark with that message.
[[noreturn]] void give_up(const std::string& why);

}  // namespace mvm::bench
