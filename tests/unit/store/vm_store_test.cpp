// SPDX-License-Identifier: Apache-2.0
#include "store/vm_store.hpp"

#include <fstream>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/temp_dir.hpp"
#include "base/file.hpp"
#include "store/crash_note.hpp"
#include "support/catch.hpp"

using namespace mvm::host;
using mvm::test::ContainsSubstring;

namespace {

VmName name(const std::string& text) { return *VmName::parse(text); }

struct Fixture {
  mvm::test::TempDir dir;
  VmStore store = *VmStore::at(dir.path() / "home");
  Fixture() { REQUIRE(store.prepare()); }

  pb::VmRecord record(const std::string& of, VmState state) const {
    pb::VmRecord r;
    r.set_format(1);
    r.set_name(of);
    r.set_hypervisor("mock");
    r.set_state(std::string(to_string(state)));
    r.set_pid(4711);
    return r;
  }
  void put(const std::string& of, VmState state) {
    std::filesystem::create_directory(store.paths(name(of)).directory);
    REQUIRE(store.write(record(of, state)));
  }
  void put_text(const std::string& of, const std::string& text) {
    std::filesystem::create_directory(store.paths(name(of)).directory);
    std::ofstream(store.paths(name(of)).record()) << text;
  }
};

mode_t mode_of(const std::filesystem::path& path) {
  struct stat s {};
  REQUIRE(::stat(path.c_str(), &s) == 0);
  return s.st_mode & 07777;
}

}  // namespace

TEST_CASE("what is written to a record is read back") {
  Fixture f;
  auto written = f.record("demo", VmState::stopped);
  written.mutable_spec()->set_memory_bytes(1ull << 40);
  written.mutable_spec()->set_cmdline("quote \" backslash \\ newline \n umlaut \xc3\xa4");
  (*written.mutable_spec()->mutable_options())["k"] = "v";
  std::filesystem::create_directory(f.store.paths(name("demo")).directory);
  REQUIRE(f.store.write(written));
  const auto read = f.store.read(name("demo"));
  REQUIRE(read);
  CHECK(read->SerializeAsString() == written.SerializeAsString());
}

TEST_CASE("a record is mode 0600 and its home mode 0700, whatever the umask") {
  const mode_t old = ::umask(0);
  Fixture f;
  f.put("demo", VmState::stopped);
  ::umask(old);
  CHECK(mode_of(f.store.paths(name("demo")).record()) == 0600);
  CHECK(mode_of(f.store.home()) == 0700);
}

TEST_CASE("a record that says running without a runner's lock is one of a crashed VM") {
  Fixture f;
  f.put("demo", VmState::running);
  const auto looked = f.store.look(name("demo"));
  REQUIRE(looked);
  CHECK(looked->state() == "crashed");
  CHECK(looked->pid() == 0);
  CHECK_THAT(looked->last_error(), ContainsSubstring("runner (pid 4711) ended without a word"));
  // Looking changes nothing.
  CHECK(f.store.read(name("demo"))->state() == "running");
}

TEST_CASE("a record that says running is true while its lock is held") {
  Fixture f;
  f.put("demo", VmState::running);
  const auto lock = VmLock::acquire(f.store.paths(name("demo")), std::chrono::milliseconds(0));
  REQUIRE(lock);
  CHECK(f.store.look(name("demo"))->state() == "running");
}

TEST_CASE("a record cut short at any byte is a failed VM that says so, and does not hide the others") {
  Fixture f;
  f.put("demo", VmState::stopped);
  f.put("other", VmState::stopped);
  const auto whole = *read_file(f.store.paths(name("demo")).record(), 1 << 20);
  // Without its last two bytes ("}\n") and on down to nothing.
  for (size_t size = 0; size + 1 < whole.size(); size += 7) {
    CAPTURE(size);
    f.put_text("demo", whole.substr(0, size));
    const auto all = f.store.list();
    REQUIRE(all);
    REQUIRE(all->size() == 2);
    CHECK(all->at(0).name() == "demo");
    CHECK(all->at(0).state() == "failed");
    CHECK_THAT(all->at(0).last_error(), ContainsSubstring("record is damaged"));
    CHECK(all->at(1).state() == "stopped");
  }
}

TEST_CASE("a record with fields of a newer mvmhost is read; one of a newer format is refused by number") {
  Fixture f;
  f.put_text("demo", R"({"format":1,"name":"demo","state":"stopped","colour":"blue","spec":{"gpu":[1]}})");
  CHECK(f.store.read(name("demo")));
  f.put_text("demo", R"({"format":2,"name":"demo","state":"stopped"})");
  CHECK_THAT(f.store.read(name("demo")).error().message, ContainsSubstring("has format 2, this mvmhost knows 1"));
}

TEST_CASE("a record of another name, as of a copied directory, is refused") {
  Fixture f;
  f.put_text("demo", R"({"format":1,"name":"prod","state":"stopped"})");
  CHECK_FALSE(f.store.read(name("demo")));
}

TEST_CASE("a state directory that doesn't exist has no VMs, and looking doesn't make it") {
  mvm::test::TempDir dir;
  const auto store = VmStore::at(dir.path() / "nothing");
  CHECK(store->list()->empty());
  CHECK_FALSE(std::filesystem::exists(dir.path() / "nothing"));
}

TEST_CASE("a state directory that others can write to is refused") {
  mvm::test::TempDir dir;
  std::filesystem::create_directory(dir.path() / "home");
  ::chmod((dir.path() / "home").c_str(), 0777);
  const auto prepared = VmStore::at(dir.path() / "home")->prepare();
  REQUIRE_FALSE(prepared);
  CHECK_THAT(prepared.error().message, ContainsSubstring("writable by others"));
}

TEST_CASE("a file where the state directory should be is refused") {
  mvm::test::TempDir dir;
  std::ofstream(dir.path() / "home") << "x";
  CHECK_THAT(VmStore::at(dir.path() / "home")->prepare().error().message, ContainsSubstring("is not a directory"));
}

TEST_CASE("removing a VM takes its directory and leaves the others") {
  Fixture f;
  f.put("demo", VmState::stopped);
  f.put("other", VmState::stopped);
  std::ofstream(f.store.paths(name("demo")).rootfs()) << "disk";
  const auto lock = VmLock::acquire(f.store.paths(name("demo")), std::chrono::milliseconds(0));
  REQUIRE(f.store.remove(name("demo")));
  CHECK_FALSE(f.store.exists(name("demo")));
  CHECK(f.store.exists(name("other")));
}

TEST_CASE("a lock has one holder, and the second is told in time") {
  Fixture f;
  const auto paths = f.store.paths(name("demo"));
  const auto first = VmLock::acquire(paths, std::chrono::milliseconds(0));
  REQUIRE(first);
  CHECK(first->made_directory());
  CHECK(VmLock::is_held(paths));
  CHECK_FALSE(VmLock::acquire(paths, std::chrono::milliseconds(50)));
}

TEST_CASE("a lock whose file was removed by rm counts for nothing: the next taker gets a new one") {
  Fixture f;
  const auto paths = f.store.paths(name("demo"));
  const auto first = VmLock::acquire(paths, std::chrono::milliseconds(0));
  REQUIRE(f.store.remove(name("demo")));
  const auto second = VmLock::acquire(paths, std::chrono::milliseconds(50));
  REQUIRE(second);
  CHECK(VmLock::is_held(paths));
}

// Regression: two processes that only looked took each other's shared lock for a runner's.
TEST_CASE("looking at a lock from two processes at once shows no holder") {
  Fixture f;
  const auto paths = f.store.paths(name("demo"));
  { const auto made = VmLock::acquire(paths, std::chrono::milliseconds(0)); }
  const pid_t child = ::fork();
  if (child == 0) {
    for (int i = 0; i < 2000; ++i) {
      if (VmLock::is_held(paths)) ::_exit(1);
    }
    ::_exit(0);
  }
  int seen = 0;
  for (int i = 0; i < 2000; ++i) seen += VmLock::is_held(paths) ? 1 : 0;
  int status = -1;
  ::waitpid(child, &status, 0);
  CHECK(seen == 0);
  CHECK(status == 0);
}

TEST_CASE("a crash note names plugin, call and signal after the process is gone") {
  mvm::test::TempDir dir;
  const auto path = dir.path() / "crash-note";
  const pid_t child = ::fork();
  if (child == 0) {
    auto note = CrashNote::open(path);
    (*note)->set_plugin("mock 0.1.0");
    (*note)->call_begins("boot");
    ::raise(SIGSEGV);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK_THAT(CrashNote::words(path, 7), ContainsSubstring("(pid 7) crashed: plugin mock 0.1.0 in boot: signal 11"));
}

TEST_CASE("a crash note of a killed process names the call it was in") {
  mvm::test::TempDir dir;
  const auto path = dir.path() / "crash-note";
  const pid_t child = ::fork();
  if (child == 0) {
    auto note = CrashNote::open(path);
    (*note)->set_plugin("mock 0.1.0");
    (*note)->call_begins("stop");
    ::raise(SIGKILL);
  }
  ::waitpid(child, nullptr, 0);
  CHECK_THAT(CrashNote::words(path, 7), ContainsSubstring("ended without a word"));
  CHECK_THAT(CrashNote::words(path, 7), ContainsSubstring("plugin mock 0.1.0 in stop"));
}

TEST_CASE("a crash note of garbage is no note") {
  mvm::test::TempDir dir;
  const auto path = dir.path() / "crash-note";
  std::ofstream(path) << std::string(500, '\xff');
  CHECK_THAT(CrashNote::words(path, 7), ContainsSubstring("ended without a word"));
}
