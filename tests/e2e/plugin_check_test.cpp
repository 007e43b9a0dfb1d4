// SPDX-License-Identifier: Apache-2.0
// What authors meet: `mvmhost plugin check` and `plugin info`.
#include <sstream>

#include <sys/stat.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

Args check(const fs::path& plugin, const Args& more = {}) {
  Args all = {"plugin", "check", plugin};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

fs::path library(const Sandbox& box, const std::string& bytes) {
  return box.write("libmvm-odd" + fs::path(MVM_E2E_MOCK).extension().string(), bytes);
}

}  // namespace

TEST_CASE("a check that passes, one that fails, one that crashes: the exit code and the words tell", "[e2e][check]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("crashes").empty());
  const Sandbox box;
  const std::string good = box.must(check(test_plugin("minimal"), {"--test", "lifecycle"})).out;
  CHECK_THAT(good, ContainsSubstring("passed   lifecycle      a VM boots, is listed as running") &&
                       ContainsSubstring(": ok: ") && ContainsSubstring("0 failed, 0 crashed"));
  const Outcome bad = box.run(check(test_plugin("crashes"), {"--test", "a VM boots"}));
  CHECK(bad.exit_code == 1);
  CHECK_THAT(bad.out, ContainsSubstring("crashed  lifecycle") && ContainsSubstring("signal 11") &&
                          ContainsSubstring("in boot") && ContainsSubstring("NOT OK"));
  const Outcome silent = box.run(check(test_plugin("init-fails-silently"), {"--test", "MVM-P7"}));
  CHECK(silent.exit_code == 1);
  CHECK_THAT(silent.out, ContainsSubstring("gave no reason (MVM-P8)"));
}

TEST_CASE("the report of a check is JSON where that is asked for, and nothing else", "[e2e][check]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("minimal").empty());
  const Sandbox box;
  const std::string json = box.must(check(test_plugin("minimal"), {"--json", "--test", "MVM-P8"})).out;
  CHECK(json.front() == '{');
  CHECK(json_value(json, "ok") == "true");
  CHECK(json_value(json, "crashed") == "0");
  CHECK(json_value(json, "result") == "passed");
  CHECK_THAT(json, ContainsSubstring("\"MVM-P8\""));
}

TEST_CASE("a warning is a failure where checks are strict", "[e2e][check]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("minimal").empty());
  const Sandbox box;
  const fs::path renamed = box.write("plugin.so", slurp(test_plugin("minimal")));
  CHECK_THAT(box.must(check(renamed, {"--test", "the library loads"})).out, ContainsSubstring("warning  load"));
  CHECK(box.run(check(renamed, {"--strict", "--test", "the library loads"})).exit_code == 1);
}

TEST_CASE("a plugin that exports more than its entry point fails its check by the rule", "[e2e][check][MVM-P1]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("extra-exports").empty());
  const Sandbox box;
  const Outcome checked = box.run(check(test_plugin("extra-exports"), {"--test", "exports its entry point"}));
  CHECK(checked.exit_code == 1);
  CHECK_THAT(checked.out, ContainsSubstring("mvm_nobody_asked_for_this") && ContainsSubstring("MVM-P1"));
}

TEST_CASE("a plugin that hangs as it loads is given up, and the rest is skipped", "[e2e][check][MVM-P15]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("hangs-as-it-loads").empty());
  const Sandbox box;
  const Outcome checked =
      box.run(check(test_plugin("hangs-as-it-loads"), {"--deadline", "1", "--test", "lifecycle"}), {.deadline = 30s});
  CHECK(checked.exit_code == 1);
  CHECK_THAT(checked.out, ContainsSubstring("failed   load") && ContainsSubstring("in load (MVM-P15)") &&
                              ContainsSubstring("it does not load"));
  CHECK(box.processes().empty());
}

TEST_CASE("what is no plugin is refused by what it is", "[e2e][check][MVM-P16]") {
  const Sandbox box;
  std::string elf = slurp(MVM_E2E_MOCK).substr(0, 4096);
  const auto refused = [&](const fs::path& file, const char* words) {
    INFO(file);
    const Outcome checked = box.run(check(file));
    CHECK(checked.exit_code == 1);
    CHECK_THAT(checked.out + checked.err, ContainsSubstring(words));
  };
  refused(box.directory("a-directory"), "is a directory");
  refused(library(box, ""), "is empty, not a library (MVM-P16)");
  refused(library(box, "#!/bin/sh\n"), "is not a library (MVM-P16)");
  if (elf.substr(0, 4) ==
      "\x7f"
      "ELF") {
    elf[18] = elf[18] == 62 ? '\xb7' : '\x3e';
    refused(library(box, elf), ", this machine is ");
  }
  CHECK_FAILS(box.run(check("/nonexistent/libmvm-x.so")), 3, "/nonexistent/libmvm-x.so");
  CHECK_FAILS(box.run(check(MVM_E2E_MOCK, {"--test", "no such thing"})), 2, "no such thing");
  CHECK_FAILS(box.run(check(MVM_E2E_MOCK, {"--option", "novalue"})), 2, "KEY=VALUE");
}

TEST_CASE("the same seed makes the same odd specs", "[e2e][check]") {
  const Sandbox box;
  const Args fuzz = {"--test", "fuzz", "--seed", "4711", "--json"};
  const std::string once = box.must(check(MVM_E2E_MOCK, fuzz)).out;
  CHECK(json_value(once, "seed") == "4711");
  CHECK(json_value(once, "passed") == json_value(box.must(check(MVM_E2E_MOCK, fuzz)).out, "passed"));
}

TEST_CASE("plugin info says what a plugin is and can do, by name and by file", "[e2e][check][MVM-H9]") {
  Sandbox box;
  const std::string by_name = box.must({"plugin", "info", "mock"}).out;
  CHECK_THAT(by_name, ContainsSubstring("libmvm-mock") && ContainsSubstring("vsock, share-dir at boot") &&
                          ContainsSubstring("mvm.pause/1") && ContainsSubstring("boot-delay: "));
  const std::string json = box.must({"plugin", "info", MVM_E2E_MOCK, "--json"}).out;
  CHECK(json_value(json, "abi") == "1.0");
  CHECK_THAT(json, ContainsSubstring("\"kernel_formats\"") && ContainsSubstring("mvm.unshare-dir/1"));
  CHECK_FAILS(box.run({"plugin", "info", "nosuch"}), 3, "\"nosuch\": not found");
  const fs::path others = box.directory("plugins");
  fs::copy_file(MVM_E2E_MOCK, others / fs::path(MVM_E2E_MOCK).filename());
  box.set_environment("MVM_PLUGIN_PATH", others);
  CHECK_THAT(box.must({"plugin", "info", "mock"}).out, ContainsSubstring("shadowed:") && ContainsSubstring("(MVM-H9)"));
}

TEST_CASE("a link that leaves its plugin directory is refused, one within it is followed", "[e2e][check][MVM-H8]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("minimal").empty());
  Sandbox box;
  const fs::path plugins = box.directory("plugins");
  const fs::path elsewhere = box.directory("elsewhere");
  const fs::path name = test_plugin("minimal").filename();
  box.set_environment("MVM_PLUGIN_PATH", plugins);
  fs::copy_file(test_plugin("minimal"), elsewhere / name);
  fs::create_symlink(elsewhere / name, plugins / name);
  CHECK_THAT(box.must({"plugins"}).out, ContainsSubstring("out of its directory") && ContainsSubstring("(MVM-H8)"));
  CHECK_FAILS(box.run({"plugin", "info", "minimal"}), 3, "(MVM-H8)");
  fs::remove(plugins / name);
  fs::copy_file(test_plugin("minimal"), plugins / "minimal-1.0");
  fs::create_symlink("minimal-1.0", plugins / name);
  CHECK_THAT(box.must({"plugin", "info", "minimal"}).out, ContainsSubstring("name:"));
}

TEST_CASE("a plugin that was looked into is not loaded again until its file changes", "[e2e][check]") {
  NEEDS("the plugins of tests/plugins", !test_plugin("minimal").empty());
  Sandbox box;
  const fs::path plugins = box.directory("plugins");
  const fs::path copy = plugins / test_plugin("minimal").filename();
  fs::copy_file(test_plugin("minimal"), copy);
  box.set_environment("MVM_PLUGIN_PATH", plugins);
  const std::string first = box.must({"plugins", "--output", "json"}).out;
  const fs::path cache = box.home() / "probes";
  struct stat file {};
  REQUIRE(::stat(copy.c_str(), &file) == 0);
  std::ostringstream kept;
  kept << std::hex << file.st_dev << '-' << file.st_ino;
  // It changed just now, and may do so once more without another time to show for it.
  CHECK_FALSE(fs::exists(cache / kept.str()));
  REQUIRE(eventually([&] {
    box.must({"plugins"});
    return fs::exists(cache / kept.str());
  }));
  CHECK(box.must({"plugins", "--output", "json"}).out == first);
  // A record of another file, as a damaged one, is no word on this one.
  for (const auto& entry : fs::directory_iterator(cache))
    fs::resize_file(entry.path(), fs::file_size(entry.path()) / 2);
  CHECK(box.must({"plugins", "--output", "json"}).out == first);
  fs::copy_file(test_plugin("wrong-name"), copy, fs::copy_options::overwrite_existing);
  CHECK_THAT(box.must({"plugins"}).out, ContainsSubstring("somebody-else"));
}

}  // namespace mvm::test
