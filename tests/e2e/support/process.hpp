// SPDX-License-Identifier: Apache-2.0
// A process of a test's own, its three streams in the test's hands.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "e2e/support/stream.hpp"

namespace mvm::test {

inline constexpr std::chrono::seconds process_deadline{40};

struct Outcome {
  int exit_code = -1;  // 128 + the signal's number where one ended it
  std::string out;
  std::string err;
};

class Process {
 public:
  // environment: KEY=VALUE, all of it. The program is looked for in PATH.
  Process(const std::vector<std::string>& command, const std::vector<std::string>& environment);
  Process(Process&& other) noexcept;
  Process& operator=(Process&&) = delete;
  ~Process();  // killed, if it still runs

  pid_t pid() const { return pid_; }
  const std::string& out() const { return out_; }  // so far
  const std::string& err() const { return err_; }

  void send_signal(int signal) const;
  void write(std::string_view bytes);    // to standard input, as fast as it is read
  void end_input();                      // when all of it is written
  void close_out() { out_fd_.reset(); }  // as when the reader of a pipe goes away

  // Until that was written. False: it ended, or the deadline passed, without.
  bool wait_out(std::string_view text, std::chrono::milliseconds limit = process_deadline);
  bool wait_err(std::string_view text, std::chrono::milliseconds limit = process_deadline);
  bool has_ended();

  // Throws std::runtime_error when it, or whoever inherited its output, doesn't end in time.
  Outcome wait(std::chrono::milliseconds limit = process_deadline);

 private:
  void pump_until(const std::function<bool()>& done, std::chrono::milliseconds limit);
  void reap();

  pid_t pid_ = -1;
  Fd exit_watch_;
  Fd in_fd_;
  Fd out_fd_;
  Fd err_fd_;
  std::string to_write_;
  bool end_input_ = false;
  bool reaped_ = false;
  int wait_status_ = 0;
  std::string out_;
  std::string err_;
};

// Readable from the process's end on. Any process.
Fd watch_exit(pid_t pid);

// The condition comes true in time; looked at again and again. For what has no event to wait for.
bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds limit = std::chrono::seconds(20));

}  // namespace mvm::test
