// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin_trust.hpp"

#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

#include "../base/temp_dir.hpp"
#include "base/file.hpp"
#include "base/process.hpp"
#include "plugin/plugin_finder.hpp"
#include "support/catch.hpp"

using namespace mvm::host;
using mvm::test::ContainsSubstring;

namespace {

#if defined(__APPLE__)
const std::string suffix = ".dylib";
#else
const std::string suffix = ".so";
#endif

// As far as anybody looks who does not load it: what begins like this program, as a library.
std::string head_of_a_library() {
  auto head = read_file(own_executable(), size_t{1} << 30)->substr(0, 4096);
  if (head.substr(0, 4) ==
      "\x7f"
      "ELF")
    head[16] = 3;  // ET_DYN
  return head;
}

std::filesystem::path plugin_in(const std::filesystem::path& directory, const std::string& name) {
  std::filesystem::create_directories(directory);
  const auto path = directory / ("libmvm-" + name + suffix);
  std::ofstream(path, std::ios::binary) << head_of_a_library();
  ::chmod(path.c_str(), 0755);
  return path;
}

}  // namespace

TEST_CASE("a plugin file of ours in directories of ours is trusted, links resolved", "[MVM-H8]") {
  mvm::test::TempDir dir;
  const auto path = plugin_in(dir.path(), "mine");
  std::filesystem::create_symlink(path, dir.path() / "link.so");
  const auto trusted = trusted_plugin_file(dir.path() / "link.so");
  REQUIRE(trusted);
  CHECK(*trusted == std::filesystem::canonical(path));
}

TEST_CASE("a plugin file that others can write is refused by rule", "[MVM-H8]") {
  mvm::test::TempDir dir;
  const auto path = plugin_in(dir.path(), "mine");
  ::chmod(path.c_str(), 0757);
  const auto trusted = trusted_plugin_file(path);
  REQUIRE_FALSE(trusted);
  CHECK_THAT(trusted.error().message, ContainsSubstring("is writable by others (mode 757): chmod go-w it (MVM-H8)"));
}

TEST_CASE("a directory above a plugin that others can write is refused, unless it is sticky", "[MVM-H8]") {
  mvm::test::TempDir dir;
  const auto path = plugin_in(dir.path() / "open" / "plugins", "mine");
  ::chmod((dir.path() / "open").c_str(), 0777);
  CHECK_THAT(trusted_plugin_file(path).error().message, ContainsSubstring("open: is writable by others"));
  ::chmod((dir.path() / "open").c_str(), 01777);
  CHECK(trusted_plugin_file(path));
}

TEST_CASE("a plugin of another user is refused", "[MVM-H8]") {
  if (::geteuid() != 0) {
    SUCCEED("needs root to give a file away");
    return;
  }
  mvm::test::TempDir dir;
  const auto path = plugin_in(dir.path(), "mine");
  if (::chown(path.c_str(), 65534, 65534) != 0) return;
  CHECK_THAT(trusted_plugin_file(path).error().message,
             ContainsSubstring("belongs to user 65534, neither to root nor to you (MVM-H8)"));
}

TEST_CASE("a plugin that is a directory, a device or missing is refused", "[MVM-H8]") {
  mvm::test::TempDir dir;
  CHECK_FALSE(trusted_plugin_file(dir.path()));
  CHECK_FALSE(trusted_plugin_file("/dev/null"));
  CHECK(trusted_plugin_file(dir.path() / "none").error().kind == ErrorKind::not_found);
}

TEST_CASE("the first directory that has a plugin wins, and the others of that name are shadowed") {
  mvm::test::TempDir dir;
  const auto first = plugin_in(dir.path() / "a", "vm");
  plugin_in(dir.path() / "b", "vm");
  const PluginFinder finder({dir.path() / "a", dir.path() / "b"}, "");
  CHECK(*finder.find("vm") == std::filesystem::canonical(first));
  const auto all = finder.all();
  REQUIRE(all.size() == 2);
  CHECK(all[0].usable);
  CHECK(all[1].shadowed);
}

TEST_CASE("an unknown hypervisor's error lists what there is and why the rest was skipped") {
  mvm::test::TempDir dir;
  plugin_in(dir.path(), "good");
  ::chmod(plugin_in(dir.path(), "bad").c_str(), 0777);
  const auto found = PluginFinder({dir.path()}, "").find("other");
  REQUIRE_FALSE(found);
  CHECK(found.error().kind == ErrorKind::not_found);
  CHECK_THAT(found.error().message, ContainsSubstring("hypervisor \"other\": not found; there is: good"));
  CHECK_THAT(found.error().message, ContainsSubstring("skipped: "));
  CHECK_THAT(found.error().message, ContainsSubstring("(MVM-H8)"));
  CHECK_THAT(found.error().message, ContainsSubstring("looked in: " + dir.path().string()));
}

TEST_CASE("files that aren't named as plugins are none of the finder's business") {
  mvm::test::TempDir dir;
  std::ofstream(dir.path() / "README") << "x";
  std::ofstream(dir.path() / ("libmvm-" + suffix)) << "x";
  std::ofstream(dir.path() / ("libother-x" + suffix)) << "x";
  CHECK(PluginFinder({dir.path()}, dir.path() / "none").all().empty());
}

TEST_CASE("a built-in name is taken from the installation, whatever else has it", "[MVM-H9]") {
  mvm::test::TempDir dir;
  plugin_in(dir.path() / "mine", "vm");
  const auto built_in = plugin_in(dir.path() / "built-in", "vm");
  const PluginFinder finder({dir.path() / "mine"}, dir.path() / "built-in");
  CHECK(*finder.find("vm") == std::filesystem::canonical(built_in));
  CHECK_THAT(finder.all().at(0).reason, ContainsSubstring("vm is built in: say --plugin"));
}

// Regression: the name was read through a view of a path that was gone, and only short ones survived that.
TEST_CASE("a plugin's name is what stands between libmvm- and the suffix, short or long") {
  for (const std::string& name : std::initializer_list<std::string>{"x", "a-name", std::string(32, 'n')}) {
    CHECK(plugin_name_of("/some/where/libmvm-" + name + suffix) == name);
  }
  CHECK(plugin_name_of("/some/where/mock" + suffix).empty());
}
