// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

constexpr auto everybody_writes = fs::perms::all;

// A directory for plugins of the sandbox's own, already in MVM_PLUGIN_PATH.
struct PluginDirectory {
  explicit PluginDirectory(Sandbox& box) : path(box.directory("plugins")) {
    box.set_environment("MVM_PLUGIN_PATH", path.string());
  }
  fs::path add(const fs::path& from, const std::string& name) const {
    const fs::path to = path / ("libmvm-" + name + fs::path(MVM_E2E_MOCK).extension().string());
    fs::copy_file(from, to);
    return to;
  }
  fs::path path;
};

}  // namespace

TEST_CASE("plugins lists the mock", "[e2e][plugins]") {
  const Sandbox box;
  CHECK_THAT(box.must({"plugins"}).out, ContainsSubstring("mock") && ContainsSubstring("ok"));
  const std::string json = box.must({"plugins", "--output", "json"}).out;
  CHECK_THAT(json, ContainsSubstring("\"name\": \"mock\""));
  CHECK_THAT(json, ContainsSubstring("\"status\": \"ok\""));
  CHECK_THAT(json, ContainsSubstring("\"abi\": \"1.0\""));
}

TEST_CASE("a plugin that others may write is refused everywhere and not loaded", "[e2e][plugins]") {
  Sandbox box;
  const PluginDirectory plugins(box);
  const fs::path copy = plugins.add(MVM_E2E_MOCK, "copy");
  fs::permissions(copy, everybody_writes);
  const std::string json = box.must({"plugins", "--output", "json"}).out;
  CHECK_THAT(json, ContainsSubstring("\"status\": \"refused\"") && ContainsSubstring("MVM-H8"));
  const Args boot = {"boot", "demo", "--kernel", box.kernel()};
  const auto with = [&](const Args& more) {
    Args all = boot;
    all.insert(all.end(), more.begin(), more.end());
    return box.run(all);
  };
  CHECK_FAILS(with({"--hypervisor", "copy"}), 3, "writable by others");
  CHECK_FAILS(with({"--plugin", copy}), 1, "MVM-H8");
  fs::permissions(copy, fs::perms::owner_all);
  fs::permissions(plugins.path, everybody_writes);
  CHECK_FAILS(with({"--plugin", copy}), 1, plugins.path.string() + ": is writable by others");
  fs::permissions(plugins.path, fs::perms::owner_all);
}

TEST_CASE("a plugin is found whatever the length of its name", "[e2e][plugins]") {
  Sandbox box;
  const PluginDirectory plugins(box);
  for (const char* name : {"x", "copy", "a-name", "longer-name", "as-long-as-names-of-plugins-are"}) {
    plugins.add(MVM_E2E_MOCK, name);
  }
  const std::string json = box.must({"plugins", "--output", "json"}).out;
  for (const char* name : {"x", "copy", "a-name", "longer-name", "as-long-as-names-of-plugins-are"}) {
    CHECK_THAT(json, ContainsSubstring(std::string("not \\\"") + name + "\\\" (MVM-P14)"));
  }
}

TEST_CASE("an unknown hypervisor names what there is and why others were skipped", "[e2e][plugins]") {
  Sandbox box;
  const PluginDirectory plugins(box);
  fs::permissions(plugins.add(MVM_E2E_MOCK, "open"), everybody_writes);
  const Outcome unknown = box.run({"--hypervisor", "nosuch", "boot", "demo", "--kernel", box.kernel()});
  CHECK(unknown.exit_code == 3);
  CHECK_THAT(unknown.err, ContainsSubstring("\"nosuch\": not found") && ContainsSubstring("mock") &&
                              ContainsSubstring("libmvm-open") && ContainsSubstring("MVM-H8") &&
                              ContainsSubstring(plugins.path.string()));
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
  for (const char* name : {"../mock", "/etc/passwd", "", "MOCK"}) {
    INFO(name);
    const int code = box.run({std::string("--hypervisor=") + name, "boot", "demo", "--kernel", box.kernel()}).exit_code;
    CHECK((code == 2 || code == 3));
  }
}

TEST_CASE("an earlier directory never shadows a built-in name without --plugin", "[e2e][plugins]") {
  Sandbox box;
  const PluginDirectory plugins(box);
  const fs::path copy = plugins.add(MVM_E2E_MOCK, "mock");
  const std::string json = box.must({"plugins", "--output", "json"}).out;
  CHECK_THAT(json, ContainsSubstring("\"status\": \"shadowed\""));
  box.must_boot("demo");
  const std::string maps = slurp("/proc/" + std::to_string(box.pid("demo")) + "/maps");
  if (!maps.empty()) CHECK_THAT(maps, ContainsSubstring(MVM_E2E_MOCK) && !ContainsSubstring(copy.string()));
}

TEST_CASE("a plugin is taken by its path and the record keeps it", "[e2e][plugins]") {
  const Sandbox box;
  box.must({"--plugin", MVM_E2E_MOCK, "boot", "demo", "--kernel", box.kernel()});
  CHECK(box.field("demo", "hypervisor") == "mock");
  CHECK(box.field("demo", "plugin") == MVM_E2E_MOCK);
  box.must({"stop", "demo"});
  box.must({"boot", "demo"});
  CHECK_FAILS(box.run({"--plugin", MVM_E2E_MOCK, "--hypervisor", "mock", "list"}), 2, "--plugin");
}

TEST_CASE("a plugin path that is no plugin is refused by name", "[e2e][plugins]") {
  const Sandbox box;
  const auto boot_with = [&](const fs::path& plugin) {
    return box.run({"--plugin", plugin, "boot", "demo", "--kernel", box.kernel()});
  };
  CHECK_FAILS(boot_with("/nowhere/libmvm-x.so"), 3, "/nowhere/libmvm-x.so");
  CHECK_FAILS(boot_with(box.directory("dir")), 1, "is a directory, not a library");
  CHECK_FAILS(boot_with(box.write("libmvm-text.so", "hello")), 1, "libmvm-text.so");
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
  CHECK(box.processes().empty());
}

TEST_CASE("a hypervisor that contradicts the record is refused", "[e2e][plugins]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"stop", "demo"});
  CHECK_FAILS(box.run({"--hypervisor", "other", "boot", "demo"}), 2, "demo: was made with hypervisor mock, not other");
  // A default for new VMs is no contradiction.
  box.must({"boot", "demo"}, {.environment = {{"MVM_HYPERVISOR", "other"}}});
  CHECK(box.field("demo", "hypervisor") == "mock");
}

TEST_CASE("a hypervisor that contradicts the record is refused by every command", "[e2e][plugins]") {
  const Sandbox box;
  box.must_boot("demo");
  CHECK(box.run({"--hypervisor", "other", "vsock-connect", "demo", "7"}).exit_code == 2);
  CHECK(box.run({"--hypervisor", "other", "stop", "demo"}).exit_code == 2);
  CHECK(box.state("demo") == "running");
}

TEST_CASE("what a plugin cannot do exits with 5", "[e2e][plugins]") {
  const Sandbox box;
  const fs::path minimal = test_plugin("minimal");
  NEEDS("the plugin minimal", !minimal.empty());
  std::string elf(
      "\x7f"
      "ELF\x02\x01\x01");
  elf.resize(4096, '\0');
  elf[0x10] = 2;
  elf[0x12] = 62;
  const Args boot = {"--plugin", minimal, "boot", "demo", "--kernel", box.write("vmlinux", elf), "--cpus", "1"};
  const auto with = [&](const Args& more) {
    Args all = boot;
    all.insert(all.end(), more.begin(), more.end());
    return box.run(all);
  };
  CHECK_FAILS(with({"--share", box.directory("data")}), 5, "minimal cannot share directories");
  CHECK_FAILS(with({"--publish", std::to_string(free_port()) + ":80"}), 5, "minimal has no vsock");
  const fs::path packed = box.write("vmlinuz.gz", std::string("\x1f\x8b\x08", 3) + std::string(4096, '\0'));
  CHECK_FAILS(box.run({"--plugin", minimal, "boot", "demo", "--kernel", packed}), 2, "minimal takes");
  CHECK_FAILS(with({"--disk", box.disk("d.img", 1 << 20)}), 5, "disk");
  CHECK_FAILS(with({"--rootfs", box.disk("r.img", 1 << 20)}), 5, "r.img");
  box.run({"stop", "demo"});
  box.run({"rm", "demo"});
  const Outcome booted = with({});
  INFO(booted.err);
  REQUIRE(booted.exit_code == 0);
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7"}), 5, "minimal");
  CHECK_FAILS(box.run({"share-dir", "demo", box.root() / "data"}), 5, "minimal");
  CHECK_FAILS(box.run({"pause", "demo"}), 5, "not supported by this hypervisor (mvm.pause/1)");
  CHECK(box.state("demo") == "running");
  CHECK(box.run({"stop", "demo"}).exit_code == 0);
}

}  // namespace mvm::test
