// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <thread>

#include <boost/asio/io_context.hpp>

#include <CLI/CLI.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/file_watch.hpp"
#include "cli/running_vm.hpp"

namespace mvm::host {
namespace {

struct LogOptions {
  std::string name;
  bool follow = false;
  std::string lines;
  bool runner = false;
};

// A log that grows and is replaced when it is full.
class Tail {
 public:
  explicit Tail(std::filesystem::path path) : path_(std::move(path)), file_(open_file(path_, O_RDONLY)) {}

  bool is_open() const { return static_cast<bool>(file_); }

  // Begins at the last n lines.
  void seek_to_last(size_t n) {
    struct stat s {};
    if (!file_ || ::fstat(file_.get(), &s) != 0) return;
    if (n == 0) {
      ::lseek(file_.get(), s.st_size, SEEK_SET);
      return;
    }
    off_t at = s.st_size;
    size_t seen = 0;
    std::array<char, 16384> block;
    while (at > 0) {
      const off_t from = std::max<off_t>(0, at - static_cast<off_t>(block.size()));
      const ssize_t got = ::pread(file_.get(), block.data(), static_cast<size_t>(at - from), from);
      if (got <= 0) break;
      for (ssize_t i = got; i-- > 0;) {
        // The newline that ends the last line begins no other.
        if (block[static_cast<size_t>(i)] != '\n' || from + i == s.st_size - 1) continue;
        if (++seen < n) continue;
        ::lseek(file_.get(), from + i + 1, SEEK_SET);
        return;
      }
      at = from;
    }
    ::lseek(file_.get(), 0, SEEK_SET);
  }

  // Prints what is new; goes on to the file that took this one's place.
  Result<void> print_new() {
    MVM_CHECK(print_rest());
    struct stat mine {};
    struct stat there {};
    const bool replaced = ::stat(path_.c_str(), &there) == 0 &&
                          (!file_ || (::fstat(file_.get(), &mine) == 0 && mine.st_ino != there.st_ino));
    if (!replaced) return {};
    MVM_CHECK(print_rest());  // written between the two looks
    file_ = open_file(path_, O_RDONLY);
    return print_rest();
  }

 private:
  Result<void> print_rest() {
    std::array<char, 65536> buffer;
    while (file_) {
      const ssize_t n = ::read(file_.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      MVM_CHECK(print({buffer.data(), static_cast<size_t>(n)}));
    }
    return {};
  }

  std::filesystem::path path_;
  UniqueFd file_;
};

// Prints as it is written, until the VM's runner is gone.
Result<int> follow(const NamedVm& vm, const std::filesystem::path& path, Tail& tail) {
  // Lives until _exit, with the thread that stops it.
  auto& loop = *new boost::asio::io_context(1);
  Result<void> printed;
  const auto print_new = [&] {
    printed = tail.print_new();
    if (!printed) loop.stop();
  };
  MVM_TRY(const auto watch, FileWatch::watch(loop, path, print_new));
  // Its end is the end of its lock, which can only be waited for by blocking.
  std::thread([&loop, paths = vm.store.paths(vm.name)] {
    VmLock::wait_until_free(paths);
    loop.stop();
  }).detach();
  print_new();  // what came before the watch
  loop.run();
  MVM_CHECK(printed);
  MVM_CHECK(tail.print_new());
  return 0;
}

Result<int> show_logs(const GlobalOptions& globals, const LogOptions& options) {
  std::optional<size_t> lines;
  if (!options.lines.empty()) {
    size_t n = 0;
    const auto [end, error] = std::from_chars(options.lines.data(), options.lines.data() + options.lines.size(), n);
    if (error != std::errc() || end != options.lines.data() + options.lines.size()) {
      return fail(ErrorKind::invalid, "-n {}: is not a number of lines", options.lines);
    }
    lines = n;
  }
  MVM_TRY(const NamedVm vm, find_vm(globals, options.name));
  const VmPaths files = vm.store.paths(vm.name);
  const auto path = options.runner ? files.runner_log() : files.console_log();
  Tail tail(path);
  if (!tail.is_open() && !(options.follow && vm.active())) {
    return fail(ErrorKind::failed, "{}: has no {} yet", options.name, path.filename().string());
  }
  if (lines) tail.seek_to_last(*lines);
  if (options.follow) return follow(vm, path, tail);
  MVM_CHECK(tail.print_new());
  return 0;
}

}  // namespace

void add_logs(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("logs", "Print what a VM wrote to its console");
  auto options = std::make_shared<LogOptions>();
  command->add_option("NAME", options->name, "The VM")->required();
  command->add_flag("-f,--follow", options->follow, "Go on printing until the VM ends");
  command->add_option("-n,--lines", options->lines, "Only the last N lines")->type_name("N");
  command->add_flag("--runner", options->runner, "The runner's own log instead");
  command->callback(
      [&globals, &action, options] { action = [&globals, options] { return show_logs(globals, *options); }; });
}

}  // namespace mvm::host
