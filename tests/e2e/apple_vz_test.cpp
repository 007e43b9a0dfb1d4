// SPDX-License-Identifier: Apache-2.0
// A VM's whole life with apple-vz, as it is on Linux: the plugin's own sources on a double of Apple's framework
// (tests/vz_double).
#include <csignal>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

Args vz_arguments(const std::string& name, const Args& more = {}) {
  Args all = {"boot", name, "--plugin", MVM_E2E_APPLE_VZ, "--kernel", MVM_E2E_VZ_KERNEL};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void must_boot_vz(const Sandbox& box, const std::string& name, const Args& more = {}) {
  const Outcome outcome = box.run(vz_arguments(name, more));
  INFO(outcome.err);
  REQUIRE(outcome.exit_code == 0);
}

// A first boot's words when it is refused; nothing is left of the VM but its record.
std::string refusal(const Sandbox& box, const Args& more, int exit_code = 1) {
  const Outcome outcome = box.run(vz_arguments("demo", more));
  CHECK(outcome.exit_code == exit_code);
  CHECK(box.processes().empty());
  box.run({"rm", "demo"});
  return outcome.err;
}

std::string ask_guest(const Sandbox& box, const std::string& commands) {
  return box.must({"vsock-connect", "demo", "2049"}, {.input = commands}).out;
}

}  // namespace

TEST_CASE("apple-vz: a VM's whole life", "[e2e][apple-vz]") {
  const Sandbox box;
  const fs::path disk = box.disk("root.img", 1 << 20);
  const fs::path data = box.directory("data");
  box.write("data/hello", "from the host");
  must_boot_vz(box, "demo",
               {"--rootfs", disk, "--share", data, "--cpus", "2", "--memory", "256M", "--option", "disk-sync=full"});
  CHECK(box.field("demo", "hypervisor") == "apple-vz");
  CHECK(box.state("demo") == "running");
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
  CHECK(ask_guest(box, "LIST\nREAD data hello\n") == "OK 1\ndata ro\nOK 13\nfrom the host");
  box.must({"share-dir", "demo", box.directory("work"), "--rw"});
  CHECK(ask_guest(box, "WRITE 3 work new\nabc") == "OK 3\n");
  CHECK(slurp(box.root() / "work" / "new") == "abc");
  box.must({"unshare-dir", "demo", "work"});
  box.must({"pause", "demo"});
  CHECK(box.state("demo") == "paused");
  box.must({"resume", "demo"});
  CHECK_THAT(box.must({"logs", "demo"}).out, ContainsSubstring("rootfs.img"));
  box.must({"stop", "demo"});
  CHECK(box.state("demo") == "stopped");
  box.must({"rm", "demo"});
  CHECK(box.processes().empty());
}

TEST_CASE("apple-vz: a published page is fetched", "[e2e][apple-vz]") {
  const Sandbox box;
  const std::string port = std::to_string(free_port());
  must_boot_vz(box, "demo", {"--publish", port + ":80"});
  const Outcome page = box.run_program({"curl", "-s", "http://127.0.0.1:" + port + "/"});
  CHECK_THAT(page.out, ContainsSubstring("Hello from the mock guest "));
}

TEST_CASE("apple-vz: a boot after a stop is the same machine on the same disk", "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo", {"--rootfs", box.disk("root.img", 1 << 20)});
  const auto identifier = [&] {
    for (const auto& entry : fs::recursive_directory_iterator(box.vm("demo"))) {
      if (entry.path().extension() == ".machine-identifier") return slurp(entry.path());
    }
    return std::string();
  };
  const std::string first = identifier();
  CHECK_FALSE(first.empty());
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--plugin", MVM_E2E_APPLE_VZ});
  CHECK(box.state("demo") == "running");
  CHECK(identifier() == first);
}

TEST_CASE("apple-vz: a runner that is killed takes its VM along, and the name boots again", "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo", {"--rootfs", box.disk("root.img", 1 << 20)});
  box.kill_runner("demo");
  CHECK(box.state("demo") == "crashed");
  box.must({"boot", "demo", "--plugin", MVM_E2E_APPLE_VZ});
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
}

TEST_CASE("apple-vz: a guest that powers itself off, and a framework that gives up, are in the record",
          "[e2e][apple-vz]") {
  Sandbox box;
  must_boot_vz(box, "demo", {"--cmdline", "console=hvc0 simulated.exit-after=\"50\""});
  CHECK(box.run({"wait", "demo"}).exit_code == 0);
  CHECK(box.state("demo") == "stopped");
  box.set_environment("MVM_VZ_DOUBLE", "error-after=50");
  must_boot_vz(box, "other");
  box.run({"wait", "other"});
  CHECK(box.state("other") == "crashed");
  CHECK_THAT(box.field("other", "last_error"), ContainsSubstring("VZErrorDomain 1 (VZErrorInternal)"));
}

TEST_CASE("apple-vz: a guest that ignores its power button is stopped in the end", "[e2e][apple-vz]") {
  Sandbox box;
  box.set_environment("MVM_VZ_DOUBLE", "ignore-request-stop=1");
  must_boot_vz(box, "demo");
  box.must({"stop", "demo", "--timeout", "1s"});
  CHECK(box.state("demo") == "stopped");
}

TEST_CASE("apple-vz: what it cannot boot is refused by name, with what to do", "[e2e][apple-vz]") {
  Sandbox box;
  CHECK_THAT(refusal(box, {"--memory", "512M", "--option", "nested=maybe"}, 2),
             ContainsSubstring("option nested: \"maybe\" is not yes or no"));
  CHECK_THAT(refusal(box, {"--share", box.directory("data").string() + ":mvm"}, 2),
             ContainsSubstring("share mvm: this tag is the hypervisor's own"));
  box.set_environment("MVM_VZ_DOUBLE", "no-entitlement=1");
  CHECK_THAT(refusal(box, {}), ContainsSubstring("com.apple.security.virtualization"));
  box.set_environment("MVM_VZ_DOUBLE", "");
  box.set_environment("MVM_VZ_DOUBLE_MACOS", "12.3");
  CHECK_THAT(refusal(box, {"--option", "nested=yes"}, 5), ContainsSubstring("take macOS 15"));
}

TEST_CASE("apple-vz: a boot that is stopped while the framework starts the machine ends", "[e2e][apple-vz]") {
  Sandbox box;
  box.set_environment("MVM_VZ_DOUBLE", "never=start");
  Process boot = box.start(vz_arguments("demo"));
  REQUIRE(eventually([&] { return box.state("demo") == "starting" && box.pid("demo") > 1; }));
  CHECK(box.run({"stop", "demo", "--force"}).exit_code == 0);
  CHECK(boot.wait(10s).exit_code == 1);
  CHECK(box.processes().empty());
}

}  // namespace mvm::test
