// SPDX-License-Identifier: Apache-2.0
#include "store/socket_dir.hpp"

#include <cstdlib>

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../base/temp_dir.hpp"
#include "support/catch.hpp"

using namespace mvm::host;
using mvm::test::ContainsSubstring;

namespace {

// Each test is a process of its own: the environment is not put back.
void runtime_dirs(const std::string& mvm, const std::string& xdg) {
  mvm.empty() ? ::unsetenv("MVM_RUNTIME_DIR") : ::setenv("MVM_RUNTIME_DIR", mvm.c_str(), 1);
  xdg.empty() ? ::unsetenv("XDG_RUNTIME_DIR") : ::setenv("XDG_RUNTIME_DIR", xdg.c_str(), 1);
}

VmName name(const std::string& text) { return *VmName::parse(text); }

}  // namespace

TEST_CASE("the longest socket path of the longest name fits a sockaddr_un of macOS") {
  mvm::test::TempDir dir;
  runtime_dirs(dir.path() / "run", "");
  const auto sockets = make_socket_dir("/" + std::string(4000, 'h'), name(std::string(63, 'x')));
  REQUIRE(sockets);
  CHECK((sockets->vsock().string() + "_4294967295").size() <= 103);
}

TEST_CASE("a runtime directory too long for sockets is refused by its length, when it was chosen") {
  runtime_dirs("/tmp/" + std::string(90, 'r'), "");
  const auto sockets = make_socket_dir("/home", name("a"));
  REQUIRE_FALSE(sockets);
  CHECK_THAT(sockets.error().message, ContainsSubstring("MVM_RUNTIME_DIR"));
}

TEST_CASE("an XDG_RUNTIME_DIR of somebody else, or open to others, is not used") {
  mvm::test::TempDir dir;
  ::chmod(dir.path().c_str(), 0755);
  runtime_dirs("", dir.path());
  const auto sockets = make_socket_dir("/home/of-this-test", name("a"));
  REQUIRE(sockets);
  CHECK_THAT(sockets->directory.string(), ContainsSubstring("/tmp/mvm-" + std::to_string(::geteuid()) + "/"));
  ::rmdir(sockets->directory.c_str());
  ::chmod(dir.path().c_str(), 0700);
  CHECK_THAT(make_socket_dir("/home/of-this-test", name("a"))->directory.string(),
             ContainsSubstring(dir.path().string() + "/mvm/"));
}

TEST_CASE("two state directories, and two names in one, have different socket directories") {
  mvm::test::TempDir dir;
  runtime_dirs(dir.path() / "run", "");
  const auto a = make_socket_dir("/one", name("a"))->directory;
  CHECK(a != make_socket_dir("/two", name("a"))->directory);
  CHECK(a != make_socket_dir("/one", name("b"))->directory);
  CHECK(a == make_socket_dir("/one", name("a"))->directory);
}

TEST_CASE("a base directory that is a link is refused, wherever it leads") {
  mvm::test::TempDir dir;
  std::filesystem::create_directory(dir.path() / "open");
  ::chmod((dir.path() / "open").c_str(), 0777);
  std::filesystem::create_symlink(dir.path() / "open", dir.path() / "run");
  runtime_dirs(dir.path() / "run", "");
  CHECK_THAT(make_socket_dir("/home", name("a")).error().message, ContainsSubstring("is a link"));
}
