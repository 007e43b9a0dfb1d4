// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

// What the guest answers on its port of shares (plugins/mock/README.md).
std::string ask_guest(const Sandbox& box, const std::string& commands) {
  return box.must({"vsock-connect", "demo", "2049"}, {.input = commands}).out;
}

}  // namespace

TEST_CASE("a share is read-only unless rw is asked for", "[e2e][share]") {
  const Sandbox box;
  const fs::path data = box.directory("data");
  const fs::path work = box.directory("work");
  box.write("data/hello", "from the host");
  box.must_boot("demo", {"--share", data, "--share", work.string() + ":stuff:rw"});
  CHECK(ask_guest(box, "LIST\n") == "OK 2\ndata ro\nstuff rw\n");
  CHECK(ask_guest(box, "READ data hello\n") == "OK 13\nfrom the host");
  CHECK(ask_guest(box, "WRITE 3 data new\nabc") == "ERR read-only\n");
  CHECK_FALSE(fs::exists(data / "new"));
  CHECK(ask_guest(box, "WRITE 3 stuff new\nabc") == "OK 3\n");
  CHECK(slurp(work / "new") == "abc");
}

TEST_CASE("share-dir and unshare-dir work on a running VM and inspect shows it", "[e2e][share]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"share-dir", "demo", box.directory("data")});
  box.must({"share-dir", "demo", box.directory("work"), "--tag", "stuff", "--rw"});
  CHECK(ask_guest(box, "LIST\n") == "OK 2\ndata ro\nstuff rw\n");
  const std::string json = box.inspect("demo");
  CHECK_THAT(json, ContainsSubstring("\"tag\": \"stuff\"") && ContainsSubstring((box.root() / "work").string()));
  CHECK_FAILS(box.run({"share-dir", "demo", box.directory("other"), "--tag", "stuff"}), 2, "\"stuff\" is taken");
  box.must({"unshare-dir", "demo", "stuff"});
  CHECK(ask_guest(box, "LIST\n") == "OK 1\ndata ro\n");
  CHECK_THAT(box.inspect("demo"), !ContainsSubstring("stuff"));
  CHECK_FAILS(box.run({"unshare-dir", "demo", "stuff"}), 1, "shares nothing with the tag \"stuff\"");
  box.must({"share-dir", "demo", box.directory("other"), "--tag", "stuff"});
}

TEST_CASE("a share added while running does not outlive the VM", "[e2e][share]") {
  const Sandbox box;
  box.must_boot("demo", {"--share", box.directory("data")});
  box.must({"share-dir", "demo", box.directory("work")});
  box.must({"stop", "demo"});
  box.must({"boot", "demo"});
  CHECK(ask_guest(box, "LIST\n") == "OK 1\ndata ro\n");
}

TEST_CASE("what must not be shared is refused at boot and while running", "[e2e][share]") {
  const Sandbox box;
  box.must_boot("demo");
  fs::create_directory_symlink("/", box.root() / "link");
  fs::create_directory_symlink(box.user_home(), box.directory("in") / "homelink");
  const std::vector<std::pair<fs::path, std::string>> refused = {
      {"/", "is the whole file system"},
      {box.root() / "link", "is the whole file system"},
      {box.user_home(), "is your home directory"},
      {box.user_home() / "." / "..", "contains your home directory"},
      {box.root() / "in" / "homelink", "is your home directory"},
      {box.home(), "is in the state directory"},
      {box.vm("demo"), "is in the state directory"},
      {box.kernel(), "is not a directory"},
      {"/nowhere/at/all", "No such file or directory"},
      {"/dev/null", "is not a directory"}};
  for (const auto& [path, why] : refused) {
    INFO(path);
    CHECK_FAILS(box.boot("other", {"--share", path}), 2, why);
    CHECK_FAILS(box.run({"share-dir", "demo", path}), 2, why);
  }
  CHECK(ask_guest(box, "LIST\n") == "OK 0\n");
  CHECK(box.run({"inspect", "other"}).exit_code == 3);
}

TEST_CASE("tags that are taken or too long or not plain are refused", "[e2e][share]") {
  const Sandbox box;
  const std::string data = box.directory("data");
  const std::string other = box.directory("other");
  CHECK_FAILS(box.boot("demo", {"--share", data, "--share", other + ":data"}), 2, "\"data\" is taken");
  CHECK_FAILS(box.boot("demo", {"--share", data + ":" + std::string(36, 't')}), 2, "35 are the most");
  CHECK_FAILS(box.boot("demo", {"--share", box.directory(std::string(36, 'd'))}), 2, "35 are the most");
  CHECK_FAILS(box.boot("demo", {"--share", data + ":sp ace"}), 2, "its tag \"sp ace\"");
  CHECK_FAILS(box.boot("demo", {"--share", data + ":"}), 2, "tag is empty");
  CHECK_FAILS(box.boot("demo", {"--share", ":tag"}), 2, "directory is empty");
  CHECK_FAILS(box.boot("demo", {"--share", data + ":a:b:c"}), 2, "--share");
  box.must_boot("demo", {"--share", data + ":" + std::string(35, 't')});
  CHECK_FAILS(box.run({"share-dir", "demo", other, "--tag", std::string(36, 't')}), 2, "35 are the most");
  CHECK_FAILS(box.run({"share-dir", "demo", other, "--tag", "../x"}), 2, "its tag");
}

TEST_CASE("shares that were remembered are dropped by an empty one", "[e2e][share]") {
  const Sandbox box;
  box.must_boot("demo", {"--share", box.directory("data")});
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--share", ""});
  CHECK(ask_guest(box, "LIST\n") == "OK 0\n");
}

TEST_CASE("a hypervisor that never answers share-dir costs that command only", "[e2e][share]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "hang=share_dir"});
  Process sharing = box.start({"share-dir", "demo", box.directory("data")});
  CHECK(box.run({"vsock-connect", "demo", "7"}, {.input = "hi"}).out == "hi");
  const Outcome shared = sharing.wait();
  CHECK(shared.exit_code == 4);
  CHECK_THAT(shared.err, ContainsSubstring("share_dir") && ContainsSubstring("mock"));
}

}  // namespace mvm::test
