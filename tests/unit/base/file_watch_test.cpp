// SPDX-License-Identifier: Apache-2.0
#include "base/file_watch.hpp"

#include "unit/base/temp_dir.hpp"
#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

TEST_CASE("a file that is written to, or replaced, tells who watches it") {
  const TempDir dir;
  const auto file = dir.write("log", "");
  LoopThread loop;
  Happening<bool> changed;
  auto watch = loop.run([&] { return FileWatch::watch(loop.loop(), file, [&] { changed.happen(true); }).value(); });
  std::ofstream(file, std::ios::app) << "a line\n" << std::flush;
  changed.wait(1);
  const int before = changed.count();
  dir.write("new", "another");
  std::filesystem::rename(dir / "new", file);
  changed.wait(before + 1);
  const int replaced = changed.count();
  std::ofstream(file, std::ios::app) << "a line of the new file\n" << std::flush;
  changed.wait(replaced + 1);
  loop.run([&] { watch.reset(); });
}

TEST_CASE("a watch of a directory may end in its own call, and then says no more") {
  const TempDir dir;
  LoopThread loop;
  Happening<bool> changed;
  std::unique_ptr<FileWatch> watch;
  loop.run([&] {
    watch = FileWatch::watch_directory(loop.loop(), dir.path(), [&] {
              watch.reset();
              changed.happen(true);
            }).value();
  });
  dir.write("one", "");
  changed.wait(1);
  dir.write("two", "");
  loop.run([] {});
  CHECK(changed.count() == 1);
}

TEST_CASE("what is not there, and a file where a directory belongs, cannot be watched") {
  const TempDir dir;
  boost::asio::io_context loop(1);
  const auto none = FileWatch::watch_directory(loop, dir / "none", [] {});
  REQUIRE_FALSE(none);
  CHECK(none.error().message == (dir / "none").string() + ": cannot be watched: No such file or directory");
  CHECK_FALSE(FileWatch::watch_directory(loop, dir.write("file", ""), [] {}));
}
