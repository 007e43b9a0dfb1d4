// SPDX-License-Identifier: Apache-2.0
#include "store/crash_note.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {

// The file's layout. Fixed sizes, no pointers; read back with suspicion.
struct CrashNote::Page {
  char magic[8];
  char plugin[80];
  char call[40];
  std::atomic<int32_t> calls_open;
  std::atomic<int32_t> signal;
  std::atomic<int32_t> exited;  // exit() was called, and not by us
};

namespace {

constexpr char page_magic[8] = {'M', 'V', 'M', 'N', 'O', 'T', 'E', '1'};
constexpr int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP};

// For the handlers: async-signal-safe to read and to store through.
std::atomic<std::atomic<int32_t>*> signal_slot{nullptr};
std::atomic<std::atomic<int32_t>*> exit_slot{nullptr};

std::atomic<int> drain_from{-1};
std::atomic<int> drain_to{-1};

void drain() {
  if (drain_from.load() < 0) return;
  char buffer[512];
  // Bounded: another thread may still be writing.
  for (int i = 0; i < 64; ++i) {
    const ssize_t n = ::read(drain_from.load(), buffer, sizeof buffer);
    if (n <= 0 || ::write(drain_to.load(), buffer, static_cast<size_t>(n)) < 0) return;
  }
}

void on_crash(int signal) {
  if (auto* slot = signal_slot.load()) slot->store(signal);
  drain();
  // SA_RESETHAND gave the signal its default back: the instruction runs again and ends the process as it would have.
  ::raise(signal);
}

void on_exit() {
  auto* slot = exit_slot.load();
  if (slot == nullptr) return;
  slot->store(1);
  drain();
}

template <size_t N>
void put(char (&to)[N], std::string_view from) noexcept {
  const size_t n = std::min(from.size(), N - 1);
  std::memcpy(to, from.data(), n);
  to[n] = '\0';
}

template <size_t N>
std::string get(const char (&from)[N]) {
  std::string text(from, ::strnlen(from, N));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

void install_handlers() {
  // An own stack: a plugin may have eaten the thread's. Only the main thread's; others crash on theirs.
  static char* stack = new char[64 * 1024];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = 64 * 1024;
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_handler = &on_crash;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_ONSTACK | SA_NODEFER);
  for (const int signal : crash_signals) ::sigaction(signal, &action, nullptr);
  std::atexit(&on_exit);
}

}  // namespace

Result<CrashNote*> CrashNote::open(const std::filesystem::path& path) {
  const auto failed = [&] {
    return fail(ErrorKind::failed, "{}: cannot be written: {}", path.string(), errno_words(errno));
  };
  ::unlink(path.c_str());
  const UniqueFd fd = open_file(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
  // Written, not only extended: on a full disk a store to a hole would be SIGBUS.
  if (!fd || !write_all(fd.get(), std::string(sizeof(Page), '\0'))) return failed();
  void* const mapped = ::mmap(nullptr, sizeof(Page), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return failed();
  auto* const page = static_cast<Page*>(mapped);
  std::memcpy(page->magic, page_magic, sizeof page_magic);
  signal_slot.store(&page->signal);
  exit_slot.store(&page->exited);
  install_handlers();
  return new CrashNote(page);  // for the process's life, as the handlers
}

void CrashNote::set_plugin(std::string_view label) noexcept { put(page_->plugin, label); }

void CrashNote::call_begins(std::string_view call) noexcept {
  static std::mutex mutex;  // whole names, whoever is last
  const std::lock_guard lock(mutex);
  put(page_->call, call);
  page_->calls_open.fetch_add(1);
}

void CrashNote::call_returned() noexcept { page_->calls_open.fetch_sub(1); }

void CrashNote::drain_on_crash(int from, int to) noexcept {
  drain_to.store(to);
  drain_from.store(from);
}

void CrashNote::ending() noexcept { exit_slot.store(nullptr); }

// A copy of the note's page, checked as far as it can be.
struct CrashNote::Copy {
  alignas(Page) char bytes[sizeof(Page)];
  bool valid = false;

  explicit Copy(const std::filesystem::path& path) {
    const auto read = read_file(path, 4096);
    if (!read || read->size() < sizeof bytes) return;
    std::memcpy(bytes, read->data(), sizeof bytes);
    valid = std::memcmp(page().magic, page_magic, sizeof page_magic) == 0;
  }
  const Page& page() const { return *reinterpret_cast<const Page*>(bytes); }
  bool in_a_call() const { return page().calls_open.load() > 0; }
  std::string where() const {
    if (!valid || get(page().plugin).empty()) return {};
    const std::string plugin = "plugin " + get(page().plugin);
    return in_a_call() ? formatted("{} in {}", plugin, get(page().call)) : plugin;
  }
};

std::string CrashNote::where(const std::filesystem::path& path) { return Copy(path).where(); }

bool CrashNote::tells_of_death(const std::filesystem::path& path) {
  const Copy copy(path);
  return copy.valid && (copy.page().signal.load() != 0 || copy.page().exited.load() != 0 || copy.in_a_call());
}

std::string CrashNote::words(const std::filesystem::path& path, int64_t pid) {
  const Copy copy(path);
  const std::string runner = pid == 0 ? "its runner" : formatted("its runner (pid {})", pid);
  const std::string place = where(path).empty() ? "no plugin yet" : where(path);
  if (copy.valid) {
    const int signal = copy.page().signal.load();
    if (signal > 0 && signal < NSIG) {
      return formatted("{} crashed: {}: signal {} ({}); see runner.log", runner, place, signal, ::strsignal(signal));
    }
    if (copy.page().exited.load() != 0) {
      return formatted("{} was ended by a call of exit: {}; see runner.log", runner, place);
    }
  }
  const std::string silent = formatted("{} ended without a word: killed, or the machine went down", runner);
  if (copy.valid && copy.in_a_call()) return formatted("{}; {}", silent, place);
  return silent + "; boot it again";
}

}  // namespace mvm::host
