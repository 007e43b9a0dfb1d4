// SPDX-License-Identifier: Apache-2.0
// A user of mvmhost, alone in the world: a home, a state directory and a directory for sockets of its own. Gone
// afterwards, with every VM; what is left of them, a process or a socket, fails the test.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "e2e/support/process.hpp"
#include "support/catch.hpp"

// Leaves the test, passed, where the machine does not have what it needs.
#define NEEDS(what, condition)             \
  do {                                     \
    if (!(condition)) {                    \
      SUCCEED("passed over: needs " what); \
      return;                              \
    }                                      \
  } while (false)

namespace mvm::test {

namespace fs = std::filesystem;
using Args = std::vector<std::string>;
using std::chrono::milliseconds;
using namespace std::chrono_literals;

struct RunOptions {
  std::string input = {};
  milliseconds deadline = process_deadline;
  std::map<std::string, std::string> environment = {};  // besides the sandbox's
  Args prefix = {};                                     // such as {"setpriv", ...}
};

class Sandbox {
 public:
  Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox();

  const fs::path& root() const { return root_; }
  fs::path user_home() const { return root_ / "home"; }
  fs::path home() const { return root_ / "state"; }
  fs::path runtime() const { return root_ / "run"; }
  fs::path vm(const std::string& name) const { return home() / "vms" / name; }
  void set_environment(const std::string& key, const std::string& value) { environment_[key] = value; }

  // mvmhost with these arguments, to its end, or started.
  Outcome run(const Args& arguments, const RunOptions& options = {}) const;
  Process start(const Args& arguments, const RunOptions& options = {}) const;
  // The same, and fails the test unless it exits with 0.
  Outcome must(const Args& arguments, const RunOptions& options = {}) const;

  // Another program, in the same environment.
  Outcome run_program(const Args& command) const;

  // A first boot: boot NAME with the mock and a kernel, and more.
  Args boot_arguments(const std::string& name, const Args& more = {}) const;
  Outcome boot(const std::string& name, const Args& more = {}) const;
  void must_boot(const std::string& name, const Args& more = {}) const;

  std::string inspect(const std::string& name) const;  // JSON; empty: no such VM
  std::string field(const std::string& name, const std::string& key) const;
  std::string state(const std::string& name) const { return field(name, "state"); }
  pid_t pid(const std::string& name) const;
  // SIGKILL, and waits until it is gone.
  void kill_runner(const std::string& name) const;

  fs::path write(const std::string& name, const std::string& bytes) const;
  fs::path kernel() const;  // a bzImage, as far as anybody looks
  fs::path directory(const std::string& name) const;
  // size bytes of hole with `data` at each megabyte that is named.
  fs::path disk(const std::string& name, uint64_t size_bytes, const std::string& data = "data",
                const std::vector<uint64_t>& at_mib = {0}) const;

  // Processes that carry this sandbox's path in their environment or arguments, but for the test itself.
  std::vector<pid_t> processes() const;
  void stop_everything() const;

 private:
  std::vector<std::string> environment(const RunOptions& options) const;
  Args command(const Args& arguments, const RunOptions& options) const;
  void expect_no_sockets() const;
  void expect_no_processes() const;

  fs::path root_;
  std::map<std::string, std::string> environment_;
};

// Another user than root, where the test is root: a prefix for RunOptions. Empty: there is no way to be one.
Args as_nobody();
inline constexpr unsigned nobody_uid = 65534;
bool is_root();
bool has_program(const std::string& name);

std::string slurp(const fs::path& path);
uint64_t allocated_bytes(const fs::path& path);

// The first value of the key, without quotes: of a scalar only. For JSON as mvmhost prints it, a key a line.
std::string json_value(const std::string& json, const std::string& key);

// libmvm-NAME of tests/plugins; empty: not built.
fs::path test_plugin(const std::string& name);

// Exit code and text of a command that failed, in one assertion.
#define CHECK_FAILS(outcome, code, text)                           \
  do {                                                             \
    const ::mvm::test::Outcome failed_ = (outcome);                \
    INFO("out: " << failed_.out << "\nerr: " << failed_.err);      \
    CHECK(failed_.exit_code == (code));                            \
    CHECK_THAT(failed_.err, ::mvm::test::ContainsSubstring(text)); \
  } while (false)

}  // namespace mvm::test
