// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {

TEST_CASE("doctor with a hypervisor that works exits with 0 and makes nothing", "[e2e][doctor]") {
  const Sandbox box;
  const auto told = box.must({"--hypervisor", "mock", "doctor"}).out;
  CHECK_THAT(told, ContainsSubstring("ok  system"));
  CHECK_THAT(told, ContainsSubstring("plugin mock"));
  CHECK_THAT(told, !ContainsSubstring("problem"));
  CHECK_FALSE(fs::exists(box.home()));
  CHECK_FALSE(fs::exists(box.runtime()));
}

TEST_CASE("doctor says it in JSON too", "[e2e][doctor]") {
  const Sandbox box;
  const auto json = box.must({"--hypervisor", "mock", "doctor", "--output", "json"}).out;
  CHECK_THAT(json, ContainsSubstring("\"verdict\": \"ok\"") && ContainsSubstring("\"subject\": \"state directory\""));
}

TEST_CASE("a hypervisor that isn't there is a problem for the doctor, with what is there", "[e2e][doctor]") {
  const Sandbox box;
  const auto outcome = box.run({"--hypervisor", "nosuch", "doctor"});
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.out, ContainsSubstring("problem") && ContainsSubstring("plugin nosuch"));
}

TEST_CASE("a plugin of somebody else's that crashes as it loads is a warning, and a problem when it is the chosen one",
          "[e2e][doctor]") {
  Sandbox box;
  const fs::path plugins = box.directory("plugins");
  fs::copy_file(test_plugin("crashes-as-it-loads"), plugins / test_plugin("crashes-as-it-loads").filename());
  box.set_environment("MVM_PLUGIN_PATH", plugins.string());
  CHECK_THAT(box.must({"--hypervisor", "mock", "doctor"}).out,
             ContainsSubstring("warning  plugin crashes-as-it-loads"));
  const auto chosen = box.run({"--hypervisor", "crashes-as-it-loads", "doctor"});
  CHECK(chosen.exit_code == 1);
  CHECK_THAT(chosen.out, ContainsSubstring("problem  plugin crashes-as-it-loads") && ContainsSubstring("signal"));
  CHECK(box.run({"--plugin", test_plugin("crashes-as-it-loads"), "doctor"}).exit_code == 1);
}

TEST_CASE("a state directory that cannot be written is a problem for the doctor", "[e2e][doctor]") {
  const Sandbox box;
  const auto file = box.write("a-file", "");
  const auto outcome = box.run({"--hypervisor", "mock", "--home", file.string(), "doctor"});
  CHECK(outcome.exit_code == 1);
  CHECK_THAT(outcome.out, ContainsSubstring("problem  state directory") && ContainsSubstring(file.string()));
}

// A system without QEMU, for one command: its program is covered by something that is none.
TEST_CASE("where QEMU is missing altogether, boot and doctor say the command that installs it", "[e2e][doctor]") {
  const Sandbox box;
  NEEDS("root, unshare and a QEMU to hide", is_root() && has_program("unshare") && has_program(MVM_E2E_QEMU_PROGRAM));
  RunOptions hidden;
  hidden.prefix = {"unshare",
                   "--mount",
                   "sh",
                   "-c",
                   "mount --bind /dev/null \"$(command -v " MVM_E2E_QEMU_PROGRAM ")\" && exec \"$@\"",
                   "sh"};
  NEEDS("mount namespaces", box.run_program({"unshare", "--mount", "true"}).exit_code == 0);
  const std::string mends = MVM_E2E_QEMU_PROGRAM ": not found; install it with: ";
  const auto told = box.run({"--hypervisor", "qemu", "doctor"}, hidden);
  CHECK(told.exit_code == 1);
  CHECK_THAT(told.out, ContainsSubstring("problem  plugin qemu") && ContainsSubstring(mends));
  CHECK_FAILS(box.run({"--hypervisor", "qemu", "boot", "demo", "--kernel", box.kernel().string()}, hidden), 5, mends);
  CHECK(box.inspect("demo").empty());
}

}  // namespace mvm::test
