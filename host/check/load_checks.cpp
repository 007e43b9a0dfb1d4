// SPDX-License-Identifier: Apache-2.0
// The library as a file, and what its loading does to the process it is loaded into.
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "check/check.hpp"
#include "check/machine.hpp"
#include "check/stream.hpp"
#include "plugin/library_format.hpp"
#include "plugin/plugin_finder.hpp"
#include "plugin/plugin_library.hpp"

namespace mvm::host::check {
namespace {

std::shared_ptr<const PluginLibrary> load() {
  if (CallObserver* calls = Machine::call_log()) calls->call_begins("load");
  auto library = PluginLibrary::load(subject().plugin, "");
  if (CallObserver* calls = Machine::call_log()) calls->call_returned();
  if (!library) throw std::runtime_error(library.error().message);
  return *library;
}

// What a library has no business with: handlers of signals, the working directory, the mask of new files.
struct Surroundings {
  std::vector<std::string> differs_from(const Surroundings& before) const {
    std::vector<std::string> differences;
    for (int signal = 1; signal < 32; ++signal) {
      if (handlers[signal] != before.handlers[signal]) {
        differences.push_back("the handler of signal " + std::to_string(signal));
      }
    }
    if (directory != before.directory) differences.emplace_back("the working directory");
    if (mask != before.mask) differences.emplace_back("the umask");
    return differences;
  }
  static Surroundings now() {
    Surroundings s;
    for (int signal = 1; signal < 32; ++signal) {
      struct sigaction action {};
      ::sigaction(signal, nullptr, &action);
      s.handlers[signal] = reinterpret_cast<void*>(action.sa_handler);
    }
    s.directory = std::filesystem::current_path();
    s.mask = ::umask(0);
    ::umask(s.mask);
    return s;
  }
  void* handlers[32] = {};
  std::filesystem::path directory;
  mode_t mask = 0;
};

#if defined(__linux__)
size_t threads() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return static_cast<size_t>(std::distance(begin(tasks), end(tasks)));
}
#endif

MVM_PLUGIN_CHECK("the library loads, has the entry point and answers with a version and a name", "load",
                 "MVM-P1 MVM-P2 MVM-P14", own_vm) {
  const PluginIdentity id = load()->identity();
  MVM_RATHER(plugin_name_of(subject().plugin) == id.name);
  MVM_EXPECT(!id.version.empty());
  MVM_RATHER(!id.vendor.empty());
}

MVM_PLUGIN_CHECK("the library exports its entry point and nothing else", "load", "MVM-P1", own_vm) {
  const auto exported = exported_symbols(subject().plugin);
  MVM_SKIP_UNLESS("an ELF file", exported.has_value());
  std::string others;
  bool entry = false;
  for (const auto& name : *exported) {
    if (name == MVM_ENTRY_SYMBOL) {
      entry = true;
    } else if (others.size() < 300) {
      others += (others.empty() ? "" : ", ") + name;
    }
  }
  MVM_EXPECT(entry);
  MVM_EXPECT(others == "");
}

MVM_PLUGIN_CHECK("loading and negotiating take less than 100 ms", "load", "MVM-P15", own_vm) {
  const auto begin = std::chrono::steady_clock::now();
  load();
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  MVM_RATHER(ms.count() < 100);
}

MVM_PLUGIN_CHECK("loading and negotiating leave the process as it was: signals, directory, descriptors, threads",
                 "load", "MVM-P17", own_vm) {
  const Surroundings before = Surroundings::now();
  const size_t fds = open_fds();
#if defined(__linux__)
  const size_t threads_before = threads();
#endif
  load();
  for (const auto& what : Surroundings::now().differs_from(before)) note(Verdict::failed, "changed " + what);
  MVM_EXPECT(open_fds() == fds);
#if defined(__linux__)
  MVM_EXPECT(threads() == threads_before);
#endif
}

MVM_PLUGIN_CHECK("an instance is made and ended ten times, and leaves no descriptor behind", "load", "MVM-P10",
                 own_vm) {
  { const Machine first; }
  const size_t fds = open_fds();
  for (int n = 0; n < 10; ++n) {
    const Machine m;
  }
  MVM_EXPECT(open_fds() <= fds);
}

}  // namespace

void link_load_checks() {}

}  // namespace mvm::host::check
