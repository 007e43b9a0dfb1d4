// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

std::vector<std::string> bad_names() {
  return {"",
          ".",
          "..",
          "../demo",
          "a/b",
          "/etc",
          "with space",
          "Upper",
          "-x-",
          "a_b",
          "a.b",
          "d\xc3\xa9mo",
          "a\nb",
          "~",
          "*",
          "demo;ls",
          "demo\t",
          "demo/",
          std::string(64, 'a'),
          std::string(5000, 'a')};
}

}  // namespace

TEST_CASE("a bad name is refused by every command before anything is touched", "[e2e][names]") {
  const Sandbox box;
  const fs::path precious = box.write("precious", "keep");
  const auto commands = [&](const std::string& name) {
    // After "--", so that a name that begins with a dash is a name.
    return std::vector<Args>{{"boot", "--hypervisor", "mock", "--kernel", box.kernel(), "--", name},
                             {"run", "--hypervisor", "mock", "--kernel", box.kernel(), "--", name},
                             {"stop", "--", name},
                             {"stop", "--force", "--", name},
                             {"inspect", "--", name},
                             {"vsock-connect", "--", name, "7"},
                             {"share-dir", "--", name, box.root()},
                             {"unshare-dir", "--", name, "tag"},
                             {"logs", "--", name},
                             {"logs", "-f", "--", name},
                             {"wait", "--", name},
                             {"rm", "--", name}};
  };
  for (const auto& name : bad_names()) {
    for (const auto& command : commands(name)) {
      INFO(command.front() << " \"" << name.substr(0, 80) << "\"");
      const Outcome refused = box.run(command);
      INFO(refused.err);
      CHECK(refused.exit_code == 2);
      CHECK(refused.out.empty());
      CHECK(refused.err.find('\n') == refused.err.size() - 1);  // one line, whatever was typed
      CHECK(refused.err.size() < 400);
    }
  }
  CHECK_FALSE(fs::exists(box.home()));
  CHECK(slurp(precious) == "keep");
}

TEST_CASE("the message about a bad name says what a good one is", "[e2e][names]") {
  const Sandbox box;
  CHECK_FAILS(box.run({"inspect", "a/b"}), 2, "VM name \"a/b\": use 1 to 63 of a-z, 0-9 and '-'");
  CHECK_FAILS(box.run({"rm", std::string(64, 'a')}), 2, "(64 characters)");
}

TEST_CASE("names at the edges of the pattern work", "[e2e][names]") {
  const Sandbox box;
  for (const std::string& name : {std::string("0"), std::string("a-"), std::string("0--9"), std::string(63, 'z')}) {
    INFO(name);
    box.must_boot(name);
    CHECK(box.run({"vsock-connect", name, "7"}, {.input = "hi"}).out == "hi");
    box.must({"stop", name});
    box.must({"rm", name});
  }
}

TEST_CASE("one bad name among several stops nothing and removes nothing", "[e2e][names]") {
  const Sandbox box;
  box.must_boot("one");
  CHECK(box.run({"stop", "one", "../one"}).exit_code == 2);
  CHECK(box.state("one") == "running");
  box.must({"stop", "one"});
  CHECK(box.run({"rm", "one", ".."}).exit_code == 2);
  CHECK(box.state("one") == "stopped");
}

}  // namespace mvm::test
