// SPDX-License-Identifier: Apache-2.0
// Plugins that break a rule of docs/abi-rules.md: the rule is named, in time, and nothing is left running.
#include <csignal>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

Args boot_with(const Sandbox& box, const fs::path& plugin) {
  return {"--plugin", plugin, "boot", "demo", "--kernel", box.kernel(), "--timeout", "1s"};
}

struct Refused {
  const char* plugin;
  int exit_code;
  const char* says;
};

constexpr Refused refused[] = {
    {"no-entry", 1, "MVM-P1"},
    {"future-abi", 1, "MVM-P2"},
    {"unterminated-name", 1, "MVM-P2"},
    {"null-slots", 1, "MVM-P2"},
    {"wrong-name", 1, "MVM-P14"},
    {"init-fails", 1, "license: expired yesterday"},
    {"init-fails-silently", 1, "MVM-P8"},
    {"garbage-info", 1, "MVM-P7"},
    {"garbage-reply", 1, "MVM-P7"},
    {"never-completes", 4, "MVM-P4"},
    {"calls-exit", 1, "boot"},
    {"crashes", 1, "signal 11"},
};

}  // namespace

TEST_CASE("a plugin that breaks a rule fails the boot by the rule and leaves nothing", "[e2e][bad-plugins]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("no-entry").empty());
  for (const Refused& bad : refused) {
    const fs::path plugin = test_plugin(bad.plugin);
    if (plugin.empty()) continue;
    const Sandbox box;
    const auto begin = std::chrono::steady_clock::now();
    const Outcome booted = box.run(boot_with(box, plugin));
    INFO(bad.plugin << ": " << booted.err);
    CHECK(booted.exit_code == bad.exit_code);
    CHECK_THAT(booted.err, ContainsSubstring(bad.says));
    CHECK_THAT(booted.err, ContainsSubstring(bad.plugin));
    CHECK(std::chrono::steady_clock::now() - begin < 9s);
    CHECK(box.processes().empty());
    CHECK(box.run({"list"}).exit_code == 0);
  }
}

TEST_CASE("the record of a VM whose plugin ended the process names plugin and call", "[e2e][bad-plugins]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("calls-exit").empty());
  const Sandbox box;
  CHECK(box.run(boot_with(box, test_plugin("calls-exit"))).exit_code == 1);
  CHECK(box.state("demo") == "crashed");
  CHECK_THAT(box.field("demo", "last_error"),
             ContainsSubstring("calls-exit") && ContainsSubstring("exit") && ContainsSubstring("boot"));
}

TEST_CASE("plugins that answer late or twice or have tables of other versions boot all the same",
          "[e2e][bad-plugins]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("completes-twice").empty());
  for (const char* name : {"completes-late", "completes-twice", "small-table", "large-table", "extra-exports"}) {
    const fs::path plugin = test_plugin(name);
    if (plugin.empty()) continue;
    const Sandbox box;
    const Outcome booted = box.run(boot_with(box, plugin));
    INFO(name << ": " << booted.err);
    CHECK(booted.exit_code == 0);
    CHECK(box.state("demo") == "running");
    if (name == std::string("completes-twice"))
      CHECK_THAT(slurp(box.vm("demo") / "runner.log"), ContainsSubstring("MVM-P4"));
    CHECK(box.run({"stop", "demo"}).exit_code == 0);
  }
}

TEST_CASE("an answer that comes after the deadline changes nothing", "[e2e][bad-plugins]") {
  const fs::path plugin = test_plugin("completes-late");
  NEEDS("the plugin completes-late", !plugin.empty());
  const Sandbox box;
  CHECK_FAILS(box.run({"--plugin", plugin, "boot", "demo", "--kernel", box.kernel(), "--timeout", "50ms"}), 4,
              "MVM-P4");
  CHECK(box.state("demo") == "failed");
  CHECK(box.processes().empty());
}

TEST_CASE("a descriptor that is none or no socket is refused by the rule", "[e2e][bad-plugins]") {
  for (const char* name : {"bad-fd", "not-a-socket-fd"}) {
    const fs::path plugin = test_plugin(name);
    NEEDS("the plugins of tests/plugins", !plugin.empty());
    const Sandbox box;
    box.must(boot_with(box, plugin));
    CHECK_FAILS(box.run({"vsock-connect", "demo", "7"}), 1, "MVM-P5");
    CHECK(box.state("demo") == "running");
  }
}

TEST_CASE("an exception inside a plugin is an error of that call", "[e2e][bad-plugins]") {
  for (const char* name : {"throws", "throws-non-std"}) {
    const fs::path plugin = test_plugin(name);
    NEEDS("the plugins of tests/plugins", !plugin.empty());
    const Sandbox box;
    // info throws: the boot is refused, and says what was thrown.
    const Outcome booted = box.run(boot_with(box, plugin));
    INFO(booted.err);
    CHECK(booted.exit_code == 1);
    CHECK_THAT(booted.err, ContainsSubstring(name));
    CHECK(box.processes().empty());
  }
}

TEST_CASE("a plugin that never comes back from create or info is given up at the deadline",
          "[e2e][bad-plugins][MVM-P15]") {
  for (const char* plugin : {MVM_E2E_HANGS_IN_CREATE, MVM_E2E_HANGS_IN_INFO}) {
    const Sandbox box;
    Process boot = box.start(boot_with(box, plugin));
    INFO(plugin);
    Outcome booted;
    CHECK_NOTHROW(booted = boot.wait(12s));
    CHECK(booted.exit_code == 4);
    CHECK_THAT(booted.err, ContainsSubstring("hangs-in-"));
    CHECK(eventually([&] { return box.processes().empty(); }, 5s));
    for (const pid_t pid : box.processes()) ::kill(pid, SIGKILL);
  }
}

TEST_CASE("a VM whose plugin does not load can be stopped by force", "[e2e][bad-plugins]") {
  const Sandbox box;
  Process boot = box.start(boot_with(box, MVM_E2E_HANGS_IN_INFO));
  REQUIRE(eventually([&] { return box.state("demo") == "starting"; }));
  const Outcome stopped = box.run({"stop", "demo", "--force"});
  INFO(stopped.err);
  CHECK(stopped.exit_code == 0);
  CHECK_NOTHROW(boot.wait(5s));
  for (const pid_t pid : box.processes()) ::kill(pid, SIGKILL);
}

TEST_CASE("a boot that hangs in a plugin ends with its caller", "[e2e][bad-plugins]") {
  const Sandbox box;
  Process boot = box.start(boot_with(box, MVM_E2E_HANGS_IN_CREATE));
  REQUIRE(eventually([&] { return box.processes().size() > 1; }));
  boot.send_signal(SIGTERM);
  boot.wait(5s);
  CHECK(eventually([&] { return box.processes().empty(); }, 15s));
  for (const pid_t pid : box.processes()) ::kill(pid, SIGKILL);
}

TEST_CASE("plugins lists misbehaving ones with their rules and survives them", "[e2e][bad-plugins]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("no-entry").empty());
  Sandbox box;
  const fs::path directory = box.directory("plugins");
  for (const char* name : {"no-entry", "future-abi", "wrong-name", "init-fails", "garbage-info", "minimal"}) {
    if (const fs::path plugin = test_plugin(name); !plugin.empty()) fs::copy(plugin, directory / plugin.filename());
  }
  box.set_environment("MVM_PLUGIN_PATH", directory);
  const std::string json = box.must({"plugins", "--output", "json"}).out;
  for (const char* expected : {"MVM-P1)", "MVM-P2)", "MVM-P14)", "license: expired yesterday", "\"name\": \"minimal\"",
                               "\"name\": \"mock\""}) {
    CHECK_THAT(json, ContainsSubstring(expected));
  }
}

}  // namespace mvm::test
