// SPDX-License-Identifier: Apache-2.0
// A plugin cannot take more than its own VM. Each of these misbehaves in one way: the command says in time which
// plugin, call and signal or rule it was, the record says so afterwards, a VM beside it notices nothing, and the name
// boots again (the same library, told to be good).
#include <csignal>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

// Where it shows, besides in boot.
enum class Shows { in_boot, in_stop, in_forced_stop, in_vsock_connect, in_share_dir, in_wait, nowhere };

struct Hostile {
  const char* plugin;
  Shows shows;
  int exit_code;
  std::vector<std::string> says;    // what the command says, besides the plugin's name
  std::vector<std::string> record;  // what the record says afterwards, if there is one
};

class Trial {
 public:
  explicit Trial(const Hostile& hostile) : hostile_(hostile) { box_.must_boot("bystander"); }

  void run() {
    const auto begin = std::chrono::steady_clock::now();
    Outcome shown = boot();
    if (hostile_.shows != Shows::in_boot) {
      INFO(shown.err);
      REQUIRE(shown.exit_code == 0);
      shown = provoke();
    }
    INFO(hostile_.plugin << ": " << shown.exit_code << ": " << shown.err << shown.out);
    CHECK(shown.exit_code == hostile_.exit_code);
    for (const auto& word : hostile_.says) CHECK_THAT(shown.err + shown.out, ContainsSubstring(word));
    if (shown.exit_code != 0 && hostile_.shows == Shows::in_boot) {
      CHECK_THAT(shown.err, ContainsSubstring(hostile_.plugin));
    }
    CHECK(std::chrono::steady_clock::now() - begin < 25s);
    check_record();
    check_bystander();
    check_boots_again();
  }

 private:
  Args arguments() const {
    return {"--plugin", test_plugin(hostile_.plugin), "boot", "demo", "--kernel", box_.kernel(), "--timeout", "2s"};
  }
  Outcome boot() const { return box_.run(arguments(), {.deadline = 25s}); }

  Outcome provoke() const {
    const RunOptions in_time{.deadline = 25s};
    switch (hostile_.shows) {
      case Shows::in_stop:
        return box_.run({"stop", "demo", "--timeout", "1s"}, in_time);
      case Shows::in_forced_stop:
        return box_.run({"stop", "demo", "--force"}, in_time);
      case Shows::in_vsock_connect:
        return box_.run({"vsock-connect", "demo", "7"}, in_time);
      case Shows::in_share_dir:
        return box_.run({"share-dir", "demo", box_.directory("data")}, in_time);
      case Shows::in_wait:
        return box_.run({"wait", "demo"}, in_time);
      default:
        return box_.run({"stop", "demo"}, in_time);
    }
  }

  void check_record() const {
    const std::string error = box_.field("demo", "last_error");
    for (const auto& word : hostile_.record) CHECK_THAT(error, ContainsSubstring(word));
  }

  void check_bystander() const {
    CHECK(box_.state("bystander") == "running");
    const Outcome echoed = box_.run({"vsock-connect", "bystander", "7"}, {.input = "still here"});
    CHECK(echoed.out == "still here");
  }

  void check_boots_again() const {
    box_.run({"stop", "demo", "--force"}, {.deadline = 25s});
    const Outcome again = box_.run(arguments(), {.deadline = 25s, .environment = {{"MVM_BE_GOOD", "1"}}});
    INFO("again: " << again.err);
    CHECK(again.exit_code == 0);
    CHECK(box_.state("demo") == "running");
    CHECK(box_.run({"stop", "demo", "--force"}, {.deadline = 25s}).exit_code == 0);
  }

  Sandbox box_;
  const Hostile& hostile_;
};

}  // namespace

#define HOSTILE(sentence, ...)                                                   \
  TEST_CASE(sentence, "[e2e][hostile]") {                                        \
    const Hostile hostile{__VA_ARGS__};                                          \
    NEEDS("the plugins of tests/plugins", !test_plugin(hostile.plugin).empty()); \
    Trial(hostile).run();                                                        \
  }
using enum Shows;

HOSTILE("a plugin that hangs as it is loaded", "hangs-as-it-loads", in_boot, 4, {"MVM-P15", "load"}, {})
HOSTILE("a plugin that crashes as it is loaded", "crashes-as-it-loads", in_boot, 1, {"signal 11", "load"},
        {"libmvm-crashes-as-it-loads", "in load: signal 11"})
HOSTILE("a plugin that exits as it is loaded", "exits-as-it-loads", in_boot, 1, {"exit code 0", "load"},
        {"libmvm-exits-as-it-loads", "in load"})
HOSTILE("a plugin that hangs as it negotiates", "hangs-in-negotiate", in_boot, 4, {"MVM-P15", "load"}, {})
HOSTILE("a plugin that crashes in create", "crashes-in-create", in_boot, 1, {"signal 11", "create"},
        {"crashes-in-create 1.0 in create: signal 11"})
HOSTILE("a plugin that crashes in info", "crashes-in-info", in_boot, 1, {"signal 11", "info"},
        {"crashes-in-info 1.0 in info: signal 11"})
HOSTILE("a plugin that writes without an end", "writes-endlessly", in_boot, 4, {"MVM-P15", "info"}, {})
HOSTILE("a plugin that hangs in boot", "hangs-in-boot", in_boot, 4, {"MVM-P4", "boot"}, {"hangs-in-boot", "MVM-P4"})
HOSTILE("a plugin that never answers a boot", "never-completes", in_boot, 4, {"MVM-P4"}, {"never-completes", "MVM-P4"})
HOSTILE("a plugin that answers a boot of somebody else's", "answers-somebody-else", in_boot, 4, {"MVM-P4"}, {"MVM-P4"})
HOSTILE("a plugin that crashes in boot", "crashes", in_boot, 1, {"signal 11", "boot"},
        {"crashes 1.0 in boot", "signal 11"})
HOSTILE("a plugin that aborts", "aborts", in_boot, 1, {"signal 6", "boot"}, {"aborts 1.0 in boot", "signal 6"})
HOSTILE("a plugin that calls exit", "calls-exit", in_boot, 1, {"exit code 7", "boot"}, {"calls-exit 1.0 in boot"})
HOSTILE("a plugin that exits quietly", "exits-quietly", in_boot, 1, {"exit code 0", "boot"},
        {"exits-quietly 1.0 in boot"})
HOSTILE("a plugin that kills its process", "kills-itself", in_boot, 1, {"signal 9", "boot"},
        {"kills-itself 1.0 in boot"})
HOSTILE("a plugin that stops its process", "stops-itself", in_boot, 4, {"boot"}, {"stops-itself 1.0 in boot"})
HOSTILE("a plugin that eats its stack", "eats-its-stack", in_boot, 1, {"signal 11", "boot"},
        {"eats-its-stack 1.0 in boot"})
HOSTILE("a plugin that throws across the boundary", "throws-across", in_boot, 1, {"thrown across"},
        {"throws-across 1.0: boot"})
HOSTILE("a plugin that crashes behind a handler of its own", "crashes-behind-its-handler", in_boot, 1,
        {"signal 11", "boot"}, {"crashes-behind-its-handler 1.0 in boot"})
HOSTILE("a plugin that closes every descriptor", "closes-everything", in_boot, 1, {"no longer heard"},
        {"ended without a word"})
HOSTILE("a plugin that leaks every descriptor", "leaks-descriptors", in_boot, 1, {"MVM-P17"},
        {"leaks-descriptors 1.0: boot"})
HOSTILE("a plugin whose reply has no end", "huge-reply", in_boot, 1, {"MVM-P7"}, {"huge-reply", "MVM-P7"})
HOSTILE("a plugin whose reply is garbage", "garbage-reply", in_boot, 1, {"MVM-P7"}, {"garbage-reply", "MVM-P7"})
HOSTILE("a plugin that fails without a word", "fails-without-a-word", in_boot, 1, {"MVM-P8"},
        {"fails-without-a-word", "MVM-P8"})
HOSTILE("a plugin that floods the log", "floods-the-log", nowhere, 0, {}, {})
HOSTILE("a plugin that floods its host with events", "floods-events", nowhere, 0, {}, {})
HOSTILE("a plugin that corrupts its table", "corrupts-its-table", nowhere, 0, {}, {})
HOSTILE("a plugin that completes twice", "completes-twice", nowhere, 0, {}, {})
HOSTILE("a plugin that hands over a descriptor that is closed", "bad-fd", in_vsock_connect, 1, {"MVM-P5"}, {})
HOSTILE("a plugin that hands over a descriptor of its host's", "foreign-fd", in_vsock_connect, 1, {"MVM-P5"}, {})
HOSTILE("a plugin that crashes in vsock_connect", "crashes-in-vsock-connect", in_vsock_connect, 1, {"went away"},
        {"crashes-in-vsock-connect 1.0 in vsock_connect", "signal 11"})
HOSTILE("a plugin that crashes in share_dir", "crashes-in-share-dir", in_share_dir, 1, {},
        {"crashes-in-share-dir 1.0 in share_dir", "signal 11"})
HOSTILE("a plugin that crashes in stop", "crashes-in-stop", in_stop, 0, {},
        {"crashes-in-stop 1.0 in stop", "signal 11"})
HOSTILE("a plugin that hangs in stop", "hangs-in-stop", in_forced_stop, 0, {}, {})
HOSTILE("a plugin that never answers a stop", "never-stops", in_forced_stop, 0, {}, {})
HOSTILE("a plugin that hangs in destroy", "hangs-in-destroy", in_forced_stop, 0, {}, {})
HOSTILE("a plugin that crashes in destroy", "crashes-in-destroy", in_forced_stop, 0, {}, {})
HOSTILE("a plugin that crashes on a thread of its own", "crashes-on-its-own-thread", in_wait, 1, {},
        {"crashes-on-its-own-thread 1.0", "signal 11"})

// The boot before is what its record told of: "stopped", and no word of the crash.
TEST_CASE("a plugin that crashes as it is loaded is in the record of a VM that has run before", "[e2e][hostile]") {
  const Sandbox box;
  const fs::path plugin = test_plugin("crashes-as-it-loads");
  NEEDS("the plugins of tests/plugins", !plugin.empty());
  const Args boot = {"--plugin", plugin, "boot", "demo", "--kernel", box.kernel()};
  REQUIRE(box.run(boot, {.environment = {{"MVM_BE_GOOD", "1"}}}).exit_code == 0);
  box.must({"stop", "demo", "--force"});
  CHECK_FAILS(box.run(boot), 1, "in load");
  CHECK(box.state("demo") == "failed");
  CHECK_THAT(box.field("demo", "last_error"),
             ContainsSubstring("libmvm-crashes-as-it-loads") && ContainsSubstring("in load: signal 11"));
  CHECK(json_value(box.must({"list", "--output", "json"}).out, "state") == "failed");
  REQUIRE(box.run(boot, {.environment = {{"MVM_BE_GOOD", "1"}}}).exit_code == 0);
  CHECK(box.field("demo", "last_error").empty());
}

}  // namespace mvm::test
