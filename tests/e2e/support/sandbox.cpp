// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <set>
#include <sstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

extern char** environ;

namespace mvm::test {
namespace {

bool is_ours(std::string_view variable) {
  for (const std::string_view prefix : {"MVM_", "XDG_", "HOME="}) {
    if (variable.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

}  // namespace

Sandbox::Sandbox() {
  // Not TMPDIR: sockets take short paths.
  std::string name = "/tmp/mvme2e-XXXXXX";
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  root_ = fs::canonical(name);
  fs::create_directories(user_home());
  environment_ = {
      {"HOME", user_home().string()}, {"MVM_HOME", home().string()}, {"MVM_RUNTIME_DIR", runtime().string()}};
}

Sandbox::~Sandbox() {
  try {
    stop_everything();
    // A test that has failed already leaves what it leaves.
    if (std::uncaught_exceptions() == 0) {
      expect_no_processes();
      expect_no_sockets();
    }
    for (const pid_t pid : processes()) ::kill(pid, SIGKILL);
  } catch (const std::exception& e) {
    FAIL_CHECK("the sandbox could not be cleared: " << e.what());
  }
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

void Sandbox::stop_everything() const {
  const Outcome stopped = run({"stop", "--all", "--force"});
  if (stopped.exit_code != 0) UNSCOPED_INFO("stop --all --force: " << stopped.err);
}

void Sandbox::expect_no_processes() const {
  for (const pid_t pid : processes()) {
    const Fd gone = watch_exit(pid);
    const bool ended = !gone || readable(gone.get(), 3s);
    std::string what = slurp("/proc/" + std::to_string(pid) + "/cmdline");
    std::replace(what.begin(), what.end(), '\0', ' ');
    INFO("left behind: process " << pid << ": " << what);
    CHECK(ended);
  }
}

// What a killed runner left goes with its VM; anything else should have gone by itself.
void Sandbox::expect_no_sockets() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(home() / "vms", error)) {
    run({"rm", entry.path().filename().string()});
  }
  for (auto it = fs::recursive_directory_iterator(runtime(), error); !error && it != fs::recursive_directory_iterator();
       it.increment(error)) {
    INFO("left behind: " << it->path());
    CHECK_FALSE(it->is_socket());
  }
}

std::vector<pid_t> Sandbox::processes() const {
  std::vector<pid_t> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos || name == std::to_string(::getpid())) continue;
    const std::string about = slurp(entry.path() / "environ") + slurp(entry.path() / "cmdline");
    if (about.find(root_.string()) != std::string::npos) found.push_back(std::stoi(name));
  }
  return found;
}

std::vector<std::string> Sandbox::environment(const RunOptions& options) const {
  std::map<std::string, std::string> ours = environment_;
  for (const auto& [key, value] : options.environment) ours[key] = value;
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const bool replaced = ours.contains(std::string(text.substr(0, text.find('='))));
    if (!replaced && !is_ours(*variable)) all.emplace_back(text);
  }
  for (const auto& [key, value] : ours) all.push_back(key + "=" + value);
  return all;
}

Args Sandbox::command(const Args& arguments, const RunOptions& options) const {
  Args all = options.prefix;
  all.emplace_back(MVM_E2E_MVMHOST);
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

Process Sandbox::start(const Args& arguments, const RunOptions& options) const {
  return {command(arguments, options), environment(options)};
}

Outcome Sandbox::run(const Args& arguments, const RunOptions& options) const {
  Process process = start(arguments, options);
  if (!options.input.empty()) process.write(options.input);
  process.end_input();
  return process.wait(options.deadline);
}

Outcome Sandbox::must(const Args& arguments, const RunOptions& options) const {
  Outcome outcome = run(arguments, options);
  INFO(arguments.front() << ": out: " << outcome.out << "\nerr: " << outcome.err);
  REQUIRE(outcome.exit_code == 0);
  return outcome;
}

Outcome Sandbox::run_program(const Args& command) const {
  Process process(command, environment({}));
  process.end_input();
  return process.wait();
}

Args Sandbox::boot_arguments(const std::string& name, const Args& more) const {
  Args all = {"--hypervisor", "mock", "boot", name, "--kernel", kernel().string()};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Outcome Sandbox::boot(const std::string& name, const Args& more) const { return run(boot_arguments(name, more)); }
void Sandbox::must_boot(const std::string& name, const Args& more) const { must(boot_arguments(name, more)); }

std::string Sandbox::inspect(const std::string& name) const {
  const Outcome outcome = run({"inspect", name, "--output", "json"});
  return outcome.exit_code == 0 ? outcome.out : "";
}

std::string Sandbox::field(const std::string& name, const std::string& key) const {
  return json_value(inspect(name), key);
}

pid_t Sandbox::pid(const std::string& name) const {
  const std::string text = field(name, "pid");
  return text.empty() ? 0 : std::stoi(text);
}

void Sandbox::kill_runner(const std::string& name) const {
  const pid_t runner = pid(name);
  REQUIRE(runner > 1);
  const Fd gone = watch_exit(runner);
  REQUIRE(::kill(runner, SIGKILL) == 0);
  REQUIRE(readable(gone.get(), 10s));
}

fs::path Sandbox::write(const std::string& name, const std::string& bytes) const {
  std::ofstream(root_ / name, std::ios::binary) << bytes;
  return root_ / name;
}

// Documentation/arch/x86/boot.rst: as much of a header as makes a bzImage.
fs::path Sandbox::kernel() const {
  const fs::path path = root_ / "bzImage";
  if (fs::exists(path)) return path;
  std::string image(16384, '\0');
  image.replace(0x1fe, 2, "\x55\xaa");
  image.replace(0x202, 4, "HdrS");
  image.replace(0x206, 2, "\x0f\x02");
  image[0x211] = 1;
  return write("bzImage", image);
}

fs::path Sandbox::directory(const std::string& name) const {
  fs::create_directories(root_ / name);
  return root_ / name;
}

fs::path Sandbox::disk(const std::string& name, uint64_t size_bytes, const std::string& data,
                       const std::vector<uint64_t>& at_mib) const {
  const fs::path path = write(name, "");
  fs::resize_file(path, size_bytes);
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  for (const uint64_t mib : at_mib) {
    file.seekp(static_cast<std::streamoff>(mib << 20));
    file << data;
  }
  return path;
}

Args as_nobody() {
  if (!is_root() || !has_program("setpriv")) return {};
  const std::string id = std::to_string(nobody_uid);
  Args prefix = {"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups", "--"};
  // Where the tree lies out of other users' sight there is nothing to run.
  Args look = prefix;
  look.insert(look.end(), {MVM_E2E_MVMHOST, "--version"});
  return Process(look, {"PATH=/usr/bin:/bin"}).wait().exit_code == 0 ? prefix : Args();
}

bool is_root() { return ::geteuid() == 0; }

bool has_program(const std::string& name) {
  std::istringstream path(std::getenv("PATH") != nullptr ? std::getenv("PATH") : "");
  for (std::string directory; std::getline(path, directory, ':');) {
    if (::access((directory + "/" + name).c_str(), X_OK) == 0) return true;
  }
  return false;
}

std::string slurp(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

uint64_t allocated_bytes(const fs::path& path) {
  struct stat s {};
  REQUIRE(::stat(path.c_str(), &s) == 0);
  return static_cast<uint64_t>(s.st_blocks) * 512;
}

std::string json_value(const std::string& json, const std::string& key) {
  const std::string sought = "\"" + key + "\": ";
  const size_t found = json.find(sought);
  if (found == std::string::npos) return "";
  size_t begin = found + sought.size();
  size_t end = json.find('\n', begin);
  if (end > begin && json[end - 1] == ',') --end;
  if (json[begin] == '"') ++begin, --end;
  return json.substr(begin, end - begin);
}

fs::path test_plugin(const std::string& name) {
#if defined(MVM_E2E_TEST_PLUGINS)
  for (const char* suffix : {".so", ".dylib"}) {
    fs::path path = fs::path(MVM_E2E_TEST_PLUGINS) / ("libmvm-" + name + suffix);
    if (fs::exists(path)) return path;
  }
#endif
  (void)name;
  return {};
}

}  // namespace mvm::test
