// SPDX-License-Identifier: Apache-2.0
#include "disk/disk_copy.hpp"

#include <chrono>
#include <csignal>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/mount.h>
#endif

#include "mvm/hypervisor.hpp"
#include "unit/base/temp_dir.hpp"

using namespace mvm::host;
using mvm::UniqueFd;
using mvm::test::slurp;
using mvm::test::TempDir;
namespace fs = std::filesystem;

namespace {

constexpr size_t mib = 1024 * 1024;

struct stat status_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info;
}

std::string error_of(const Result<CopyReport>& result, ErrorKind kind) {
  REQUIRE_FALSE(result);
  CHECK(result.error().kind == kind);
  return result.error().message;
}

void put(int fd, const std::string& bytes, size_t at) {
  REQUIRE(::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) == static_cast<ssize_t>(bytes.size()));
}

// 64 MiB with data at the start, in the middle and, where asked, in the last byte.
fs::path sparse_image(const TempDir& dir, bool data_at_end) {
  const fs::path path = dir / "sparse.img";
  const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  REQUIRE(::ftruncate(fd.get(), 64 * mib) == 0);
  put(fd.get(), std::string(mib, 'a'), 0);
  put(fd.get(), std::string(mib, 'm'), 32 * mib);
  if (data_at_end) put(fd.get(), "z", 64 * mib - 1);
  return path;
}

// A small file system of its own, where this user may mount one.
class SmallFileSystem {
 public:
  explicit SmallFileSystem(const fs::path& at, const char* options) : at_(at) {
    fs::create_directory(at);
#if defined(__linux__)
    mounted_ = ::mount("tmpfs", at.c_str(), "tmpfs", 0, options) == 0;
#else
    (void)options;
#endif
  }
  ~SmallFileSystem() {
#if defined(__linux__)
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
#endif
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;
  bool mounted() const { return mounted_; }

 private:
  fs::path at_;
  bool mounted_ = false;
};

}  // namespace

TEST_CASE("a copy has the same bytes, is its owner's only and leaves nothing beside it") {
  const TempDir dir;
  std::string bytes(3 * mib + 17, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 + i / 4096);
  const auto from = dir.write("from.img", bytes);
  ::chmod(from.c_str(), 0444);
  const mode_t before = ::umask(0);
  const auto report = copy_disk(from, dir / "to.img", false, nullptr);
  ::umask(before);
  REQUIRE(report);
  CHECK(report->size_bytes == bytes.size());
  CHECK(slurp(dir / "to.img") == bytes);
  CHECK((status_of(dir / "to.img").st_mode & 07777) == 0600);
  CHECK(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()) == 2);
}

TEST_CASE("the holes of a sparse image stay holes") {
  const TempDir dir;
  const bool data_at_end = GENERATE(false, true);
  const auto from = sparse_image(dir, data_at_end);
  const auto report = copy_disk(from, dir / "to.img", false, nullptr);
  REQUIRE(report);
  const struct stat was = status_of(from);
  const struct stat is = status_of(dir / "to.img");
  CHECK(is.st_size == was.st_size);
  if (was.st_blocks * 512 > static_cast<long>(4 * mib)) {
    SUCCEED("this file system has no sparse files");
    return;
  }
  CHECK(is.st_blocks * 512 <= static_cast<long>(4 * mib));
  if (report->method == CopyMethod::extents) CHECK(report->copied_bytes <= 4 * mib);
  CHECK(slurp(dir / "to.img") == slurp(from));
}

TEST_CASE("an image that is one hole, and an empty one, are copied too") {
  const TempDir dir;
  const auto hole = dir.write("hole.img", "");
  REQUIRE(::truncate(hole.c_str(), 8 * mib) == 0);
  REQUIRE(copy_disk(hole, dir / "hole2.img", false, nullptr));
  CHECK(fs::file_size(dir / "hole2.img") == 8 * mib);
  REQUIRE(copy_disk(dir.write("empty.img", ""), dir / "empty2.img", false, nullptr));
  CHECK(fs::file_size(dir / "empty2.img") == 0);
}

TEST_CASE("progress rises to the total, which is the data and not the holes") {
  const TempDir dir;
  const auto from = sparse_image(dir, false);
  std::vector<std::pair<uint64_t, uint64_t>> seen;
  const auto report =
      copy_disk(from, dir / "to.img", false, [&](uint64_t done, uint64_t total) { seen.emplace_back(done, total); });
  REQUIRE(report);
  REQUIRE_FALSE(seen.empty());
  CHECK(seen.back().first == seen.back().second);
  CHECK(seen.back().first == report->copied_bytes);
  for (size_t i = 1; i < seen.size(); ++i) CHECK(seen[i - 1].first <= seen[i].first);
}

TEST_CASE("progress is told at most 20 times a second") {
  const TempDir dir;
  const auto from = dir.write("from.img", std::string(256 * mib, 'x'));
  int calls = 0;
  const auto began = std::chrono::steady_clock::now();
  REQUIRE(copy_disk(from, dir / "to.img", false, [&](uint64_t, uint64_t) { ++calls; }));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  CHECK(calls <= 1 + took.count() * 20);
}

TEST_CASE("an existing target is replaced only when that is asked for") {
  const TempDir dir;
  const auto from = dir.write("from.img", "new");
  const auto to = dir.write("to.img", "old");
  CHECK(error_of(copy_disk(from, to, false, nullptr), ErrorKind::failed) ==
        to.string() + ": exists already; remove it first, or use another name");
  CHECK(slurp(to) == "old");
  REQUIRE(copy_disk(from, to, true, nullptr));
  CHECK(slurp(to) == "new");
}

TEST_CASE("a source that is missing, a directory, a fifo or unreadable is refused by name") {
  const TempDir dir;
  const auto to = dir / "to.img";
  CHECK(error_of(copy_disk(dir / "none", to, false, nullptr), ErrorKind::invalid) ==
        (dir / "none").string() + ": no such file");
  CHECK(error_of(copy_disk(dir.path(), to, false, nullptr), ErrorKind::invalid) ==
        dir.path().string() + ": is a directory; only an image file can be copied");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(error_of(copy_disk(dir / "fifo", to, false, nullptr), ErrorKind::invalid) ==
        (dir / "fifo").string() + ": is not a regular file; only an image file can be copied");
  if (::geteuid() != 0) {
    const auto secret = dir.write("secret", "x");
    ::chmod(secret.c_str(), 0);
    CHECK(error_of(copy_disk(secret, to, false, nullptr), ErrorKind::invalid) ==
          secret.string() + ": may not be read by this user; change its permissions");
  }
  CHECK_FALSE(fs::exists(to));
}

TEST_CASE("a target in a directory that does not exist fails by name and leaves nothing") {
  const TempDir dir;
  const auto from = dir.write("from.img", "x");
  const auto to = dir / "none" / "to.img";
  CHECK(error_of(copy_disk(from, to, false, nullptr), ErrorKind::failed) ==
        to.string() + ": cannot be written: No such file or directory");
}

TEST_CASE("a full file system fails the copy by name and keeps nothing of it") {
  const TempDir dir;
  const SmallFileSystem small(dir / "small", "size=4m,mode=0700");
  if (!small.mounted()) {
    SUCCEED("this user may not mount a small file system");
    return;
  }
  const auto from = dir.write("from.img", std::string(8 * mib, 'x'));
  const auto to = dir / "small" / "to.img";
  CHECK(error_of(copy_disk(from, to, false, nullptr), ErrorKind::failed) ==
        to.string() +
            ": no space left on its file system; nothing was left behind; free some space, or use a directory "
            "elsewhere");
  CHECK(fs::is_empty(dir / "small"));
  CHECK(fs::file_size(from) == 8 * mib);
}

TEST_CASE("an image is copied from one file system to another") {
  const TempDir dir;
  const SmallFileSystem other(dir / "other", "size=16m,mode=0700");
  const auto from = sparse_image(dir, true);
  const auto to = dir / "other" / "to.img";
  const auto report = copy_disk(from, to, false, nullptr);
  REQUIRE(report);
  CHECK(slurp(to) == slurp(from));
}

TEST_CASE("an image that is written while it is copied fails the copy and leaves nothing") {
  const TempDir dir;
  const SmallFileSystem other(dir / "other", "size=450m,mode=0700");
  if (!other.mounted()) {
    SUCCEED("without a file system of another kind the copy may be a clone, which takes no time");
    return;
  }
  const auto from = dir.write("from.img", std::string(400 * mib, 'x'));
  bool changed = false;
  const auto shrink_once = [&](uint64_t done, uint64_t total) {
    if (!changed && done < total) fs::resize_file(from, 300 * mib);
    changed = true;
  };
  CHECK(error_of(copy_disk(from, dir / "other" / "to.img", false, shrink_once), ErrorKind::failed) ==
        from.string() + ": was written while it was copied; end what writes it and try again");
  CHECK(fs::is_empty(dir / "other"));
}

TEST_CASE("a copy that is killed leaves only its .partial, which the next copy replaces") {
  const TempDir dir;
  const auto from = dir.write("from.img", std::string(512 * mib, 'x'));
  const auto to = dir / "to.img";
  int begun[2];
  REQUIRE(::pipe(begun) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    // Stops in its midst and waits to be killed.
    const auto report = copy_disk(from, to, false, [&](uint64_t, uint64_t) {
      if (::write(begun[1], "x", 1) != 1) ::_exit(1);
      for (;;) ::pause();
    });
    ::_exit(report ? 0 : 1);
  }
  char byte = 0;
  REQUIRE(::read(begun[0], &byte, 1) == 1);
  error_of(copy_disk(from, to, false, nullptr), ErrorKind::failed);  // one at a time
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(begun[0]);
  ::close(begun[1]);
  CHECK_FALSE(fs::exists(to));
  CHECK(fs::exists(dir / "to.img.partial"));
  REQUIRE(copy_disk(from, to, false, nullptr));
  CHECK(fs::file_size(to) == 512 * mib);
  CHECK_FALSE(fs::exists(dir / "to.img.partial"));
}

TEST_CASE("a copy that is still at work is not disturbed by another of the same name") {
  const TempDir dir;
  const auto from = dir.write("from.img", "x");
  const auto partial = dir.write("to.img.partial", "at work");
  const UniqueFd held(::open(partial.c_str(), O_RDONLY | O_CLOEXEC));
  REQUIRE(::flock(held.get(), LOCK_EX | LOCK_NB) == 0);
  CHECK(error_of(copy_disk(from, dir / "to.img", false, nullptr), ErrorKind::failed) ==
        partial.string() + ": another copy is being made; wait for its end");
  CHECK(slurp(partial) == "at work");
}

TEST_CASE("a link where the .partial belongs is replaced and not followed") {
  const TempDir dir;
  const auto from = dir.write("from.img", "image");
  const auto precious = dir.write("precious", "mine");
  fs::create_symlink(precious, dir / "to.img.partial");
  REQUIRE(copy_disk(from, dir / "to.img", false, nullptr));
  CHECK(slurp(precious) == "mine");
  CHECK(slurp(dir / "to.img") == "image");
}

TEST_CASE("a directory where the .partial belongs fails the copy by name") {
  const TempDir dir;
  const auto from = dir.write("from.img", "image");
  fs::create_directory(dir / "to.img.partial");
  CHECK_THAT(
      error_of(copy_disk(from, dir / "to.img", false, nullptr), ErrorKind::failed),
      mvm::test::StartsWith((dir / "to.img.partial").string() + ": is in the way of a copy and cannot be removed: "));
}
