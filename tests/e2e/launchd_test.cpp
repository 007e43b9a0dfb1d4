// SPDX-License-Identifier: Apache-2.0
// `boot --detach launchd`, with a launchctl of the tests' own (support/launchctl), which starts jobs as bare as launchd
// does.
#include <csignal>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

class Mac {
 public:
  Mac() { use(box); }
  void use(Sandbox& sandbox) const {
    const fs::path bin = sandbox.directory("bin");
    fs::create_symlink(MVM_E2E_LAUNCHCTL, bin / "launchctl");
    const char* path = std::getenv("PATH");
    sandbox.set_environment("PATH", bin.string() + ":" + (path != nullptr ? path : "/usr/bin:/bin"));
    sandbox.set_environment("FAKE_LAUNCHD", sandbox.directory("launchd"));
  }
  void fault(const std::string& fault) { box.set_environment("FAKE_LAUNCHD_FAULT", fault); }
  std::string calls() const { return slurp(box.root() / "launchd" / "calls"); }
  // The jobs that launchd knows.
  size_t jobs() const {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(box.root() / "launchd"))
      count += entry.path().extension() == ".pid";
    return count;
  }
  std::string plist() const {
    for (const auto& entry : fs::directory_iterator(box.root() / "launchd")) {
      if (entry.path().extension() == ".plist") return slurp(entry.path());
    }
    return "";
  }
  // What the boot left in the directories of sockets, but for the VM's own.
  bool left_nothing_of_the_boot() const {
    for (const auto& entry : fs::recursive_directory_iterator(box.runtime())) {
      if (entry.path().filename().string().starts_with("boot.")) return false;
    }
    return true;
  }

  Sandbox box;
};

}  // namespace

TEST_CASE("a VM under launchd boots, serves, stops and boots again under it, by its name alone", "[e2e][launchd]") {
  Mac mac;
  const Sandbox& box = mac.box;
  box.must_boot("demo", {"--detach", "launchd"});
  CHECK(box.state("demo") == "running");
  CHECK(mac.jobs() == 1);
  CHECK_THAT(mac.plist(), ContainsSubstring("<key>ProcessType</key>") && ContainsSubstring("Interactive"));
  CHECK(mac.left_nothing_of_the_boot());
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
  box.must({"stop", "demo"});
  CHECK(box.state("demo") == "stopped");
  box.must({"boot", "demo"});
  CHECK(box.state("demo") == "running");
  CHECK(mac.jobs() == 1);
  CHECK_THAT(mac.calls(), ContainsSubstring("bootout gui/"));
  box.must({"stop", "demo"});
  box.must({"rm", "demo"});
  CHECK(mac.jobs() == 0);
}

TEST_CASE("a VM under launchd that is booted plain is launchd's no longer", "[e2e][launchd]") {
  Mac mac;
  const Sandbox& box = mac.box;
  box.must_boot("demo", {"--detach", "launchd"});
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--detach", "plain"});
  CHECK(box.state("demo") == "running");
  CHECK(mac.jobs() == 0);
  box.must({"stop", "demo"});
  const std::string calls = mac.calls();
  box.must({"boot", "demo"});
  CHECK(mac.calls() == calls);
}

// Regression: only the domain of the session that asks was looked into, so that `rm` over ssh left the job that was
// begun at the screen, and a boot there made a second.
TEST_CASE("a job that was begun at the screen is found over ssh, and the other way round", "[e2e][launchd]") {
  Mac mac;
  Sandbox& box = mac.box;
  box.must_boot("demo", {"--detach", "launchd"});
  box.must({"stop", "demo"});
  box.set_environment("FAKE_LAUNCHD_SESSION", "Background");
  box.must({"boot", "demo"});
  CHECK(mac.jobs() == 1);
  CHECK_THAT(mac.calls(), ContainsSubstring("bootstrap user/"));
  box.must({"stop", "demo"});
  box.set_environment("FAKE_LAUNCHD_SESSION", "Aqua");
  box.must({"rm", "demo"});
  CHECK(mac.jobs() == 0);
}

TEST_CASE("a state directory with characters that XML and shells mind is named to launchd as it is", "[e2e][launchd]") {
  Mac mac;
  const fs::path home = mac.box.root() / "R&D <\"'> state";
  Args boot = {"--home", home};
  for (const auto& argument : mac.box.boot_arguments("demo", {"--detach", "launchd"})) boot.push_back(argument);
  mac.box.must(boot);
  CHECK(mac.box.must({"--home", home, "vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
  mac.box.must({"--home", home, "stop", "demo"});
  mac.box.must({"--home", home, "rm", "demo"});
}

TEST_CASE("launchd's refusal is told in its words, and nothing is left", "[e2e][launchd]") {
  Mac mac;
  mac.fault("bootstrap-fails");
  CHECK_FAILS(mac.box.boot("demo", {"--detach", "launchd"}), 1, "exit code 5: Bootstrap failed: 5: Input/output error");
  CHECK(mac.left_nothing_of_the_boot());
  CHECK(mac.box.run({"inspect", "demo"}).exit_code == 3);
  mac.fault("");
  mac.box.must_boot("demo", {"--detach", "launchd"});
}

TEST_CASE("a boot under launchd that fails is told as any other, and its job ends", "[e2e][launchd]") {
  Mac mac;
  CHECK_FAILS(mac.box.boot("demo", {"--detach", "launchd", "--option", "boot-error=no such luck"}), 1, "no such luck");
  CHECK(mac.box.processes().empty());
  CHECK_FAILS(mac.box.boot("demo", {"--detach", "launchd", "--option", "crash=boot"}), 1, "in boot");
  CHECK(mac.box.state("demo") == "crashed");
}

TEST_CASE("a boot that is killed while launchd's runner boots takes the boot with it", "[e2e][launchd]") {
  Mac mac;
  Process boot = mac.box.start(mac.box.boot_arguments("demo", {"--detach", "launchd", "--option", "boot-delay=60000"}));
  REQUIRE(eventually([&] { return mac.box.state("demo") == "starting" && mac.box.pid("demo") > 1; }));
  boot.send_signal(SIGKILL);
  CHECK(eventually([&] { return mac.box.state("demo") == "stopped"; }));
  CHECK(eventually([&] { return mac.box.processes().empty(); }));
}

TEST_CASE("a runner under launchd that is killed leaves a VM that says so, and boots again", "[e2e][launchd]") {
  Mac mac;
  mac.box.must_boot("demo", {"--detach", "launchd"});
  mac.box.kill_runner("demo");
  CHECK(mac.box.state("demo") == "crashed");
  mac.box.must({"boot", "demo"});
  CHECK(mac.box.state("demo") == "running");
}

TEST_CASE("a boot of a VM that runs under launchd says so, and the VM runs on", "[e2e][launchd]") {
  Mac mac;
  mac.box.must_boot("demo", {"--detach", "launchd"});
  const pid_t runner = mac.box.pid("demo");
  CHECK_FAILS(mac.box.run({"boot", "demo"}), 1, "demo: is running already");
  CHECK_FAILS(mac.box.run({"boot", "demo", "--detach", "plain"}), 1, "demo: is running already");
  CHECK(mac.box.pid("demo") == runner);
  CHECK(mac.jobs() == 1);
}

// Only a child's stop is told by waitid: a boot waited for ever.
TEST_CASE("a runner under launchd that is stopped before its VM runs is killed in time, and the boot says so",
          "[e2e][launchd]") {
  Mac mac;
  Process boot = mac.box.start(
      mac.box.boot_arguments("demo", {"--detach", "launchd", "--option", "boot-delay=60000", "--timeout", "2s"}));
  REQUIRE(eventually([&] { return mac.box.state("demo") == "starting" && mac.box.pid("demo") > 1; }));
  REQUIRE(::kill(mac.box.pid("demo"), SIGSTOP) == 0);
  CHECK_FAILS(boot.wait(25s), 4, "was stopped for");
  CHECK(eventually([&] { return mac.box.processes().empty(); }));
}

TEST_CASE("of two boots of one name under launchd at the same instant exactly one wins", "[e2e][launchd]") {
  Mac mac;
  const Args arguments = mac.box.boot_arguments("demo", {"--detach", "launchd"});
  Process one = mac.box.start(arguments);
  Process other = mac.box.start(arguments);
  const int codes = one.wait().exit_code + other.wait().exit_code;
  CHECK(codes == 1);
  CHECK(mac.box.state("demo") == "running");
}

TEST_CASE("a launchctl that hangs is given up, and named", "[e2e][launchd]") {
  Mac mac;
  mac.fault("hangs");
  CHECK_FAILS(mac.box.boot("demo", {"--detach", "launchd"}), 4, "launchctl: did not end within");
}

TEST_CASE("without launchctl a boot under launchd is unsupported, before anything is made", "[e2e][launchd]") {
  NEEDS("a system without launchctl", !has_program("launchctl"));
  const Sandbox box;
  CHECK_FAILS(box.boot("demo", {"--detach", "launchd"}), 5, "launchctl: there is no such program in PATH");
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
  CHECK_FAILS(box.boot("demo", {"--detach", "screen"}), 2, "--detach");
}

}  // namespace mvm::test
