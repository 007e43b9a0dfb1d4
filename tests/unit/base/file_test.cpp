// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <fstream>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.hpp"
#include "support/catch.hpp"
#include "temp_dir.hpp"

using namespace mvm::host;
using mvm::test::ContainsSubstring;

TEST_CASE("a file is replaced whole, and a temporary that a killed process left is no obstacle") {
  mvm::test::TempDir dir;
  const auto path = dir.path() / "record.json";
  std::ofstream(path) << "old";
  std::ofstream(path.string() + ".new") << "half";
  for (const auto durability : {Durability::none, Durability::ordered, Durability::synced}) {
    const std::string bytes = "new " + std::to_string(static_cast<int>(durability));
    REQUIRE(replace_file(path, bytes, durability));
    CHECK(*read_file(path, 100) == bytes);
    CHECK_FALSE(std::filesystem::exists(path.string() + ".new"));
  }
}

TEST_CASE("a file that can't be replaced stays as it was, and the error names it") {
  const auto replaced = replace_file("/proc/self/none/record.json", "x", Durability::none);
  REQUIRE_FALSE(replaced);
  CHECK_THAT(replaced.error().message, ContainsSubstring("/proc/self/none/record.json: cannot be written"));
}

TEST_CASE("a file larger than its bound is refused, and a missing one is not found") {
  mvm::test::TempDir dir;
  std::ofstream(dir.path() / "big") << std::string(1000, 'x');
  CHECK_THAT(read_file(dir.path() / "big", 999).error().message, ContainsSubstring("larger than 999 bytes"));
  CHECK(read_file(dir.path() / "none", 10).error().kind == ErrorKind::not_found);
}

TEST_CASE("this process has a start time that stays the same, and a pid that nobody has has none") {
  const auto started = process_started(::getpid());
  REQUIRE(started);
  CHECK(process_started(::getpid()) == started);
  CHECK_FALSE(process_started(0x7ffffff0));
}

TEST_CASE("the end of a process is waited for, and a process that goes on is told in time") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[1]);
    char c = 0;
    (void)!::read(ends[0], &c, 1);
    ::_exit(0);
  }
  CHECK_FALSE(wait_process_end(child, std::chrono::milliseconds(20)));
  ::close(ends[1]);
  CHECK(wait_process_end(child, std::chrono::milliseconds(10'000)));
}
