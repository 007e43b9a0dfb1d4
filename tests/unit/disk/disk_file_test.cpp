// SPDX-License-Identifier: Apache-2.0
#include "disk/disk_file.hpp"

#include <csignal>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/base/temp_dir.hpp"

using namespace mvm::host;
using mvm::test::TempDir;
namespace v1 = mvm::v1;

namespace {

template <class T>
std::string error_of(const Result<T>& result, ErrorKind kind) {
  REQUIRE_FALSE(result);
  CHECK(result.error().kind == kind);
  return result.error().message;
}

}  // namespace

TEST_CASE("a disk's format is what its name says, and content that contradicts the name is refused") {
  const TempDir dir;
  const std::string header("QFI\xfb\0\0\0\3", 8);
  CHECK(*format_by_name(dir.write("a.qcow2", header)) == v1::DISK_FORMAT_QCOW2);
  CHECK(*format_by_name(dir.write("b", std::string(4096, '\0'))) == v1::DISK_FORMAT_RAW);
  CHECK(*format_by_name(dir.write("c.img", "QF")) == v1::DISK_FORMAT_RAW);
  const auto forged = dir.write("d.img", header);
  CHECK(error_of(format_by_name(forged), ErrorKind::invalid) ==
        forged.string() + ": begins as a qcow2 image does, and is not named so: name it d.qcow2 if that is what it is");
  const auto raw = dir.write("e.qcow2", "raw");
  CHECK(error_of(format_by_name(raw), ErrorKind::invalid) == raw.string() + ": is named .qcow2 and is no qcow2 image");
}

TEST_CASE("a disk that is missing, a directory, empty or a fifo is refused by name") {
  const TempDir dir;
  CHECK(error_of(check_disk(dir / "none", false), ErrorKind::invalid) == (dir / "none").string() + ": no such file");
  CHECK(error_of(check_disk(dir.path(), true), ErrorKind::invalid) ==
        dir.path().string() + ": is a directory; a disk is an image file or a block device");
  const auto empty = dir.write("empty", "");
  CHECK(error_of(check_disk(empty, false), ErrorKind::invalid) ==
        empty.string() + ": is empty; a disk image is expected");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(error_of(check_disk(dir / "fifo", false), ErrorKind::invalid) ==
        (dir / "fifo").string() + ": is neither a file nor a disk; a disk is an image file or a block device");
}

TEST_CASE("a disk that this user may not write is refused for writing only") {
  if (::geteuid() == 0) {
    SUCCEED("root writes everything");
    return;
  }
  const TempDir dir;
  const auto path = dir.write("a", "data");
  ::chmod(path.c_str(), 0400);
  CHECK(check_disk(path, false));
  CHECK(error_of(check_disk(path, true), ErrorKind::invalid) ==
        path.string() + ": may not be written by this user; change its permissions, or use it read-only");
}

TEST_CASE("two VMs cannot write one disk, nor one read what another writes") {
  const TempDir dir;
  const auto path = dir.write("a", "data");
  auto writer = lock_disk(path, true);
  REQUIRE(writer);
  CHECK((::fcntl(writer->get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(error_of(lock_disk(path, true), ErrorKind::failed) ==
        path.string() + ": is in use by another VM; stop that one first, or use a copy of the image");
  CHECK(error_of(lock_disk(path, false), ErrorKind::failed) ==
        path.string() + ": is in use by another VM, which writes it; stop that one first, or use a copy of the image");
  writer->reset();
  CHECK(lock_disk(path, true));
}

TEST_CASE("many VMs may read one disk, and none write it meanwhile") {
  const TempDir dir;
  const auto path = dir.write("a", "data");
  const auto one = lock_disk(path, false);
  const auto two = lock_disk(path, false);
  CHECK(one);
  CHECK(two);
  error_of(lock_disk(path, true), ErrorKind::failed);
}

TEST_CASE("a disk's lock ends with the process that held it, also when that is killed") {
  const TempDir dir;
  const auto path = dir.write("a", "data");
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = lock_disk(path, true);
    const char told = held ? 'y' : 'n';
    if (::write(ready[1], &told, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char told = 0;
  REQUIRE(::read(ready[0], &told, 1) == 1);
  CHECK(told == 'y');
  CHECK_FALSE(lock_disk(path, true));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  CHECK(lock_disk(path, true));
  ::close(ready[0]);
  ::close(ready[1]);
}
