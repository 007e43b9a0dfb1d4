// SPDX-License-Identifier: Apache-2.0
// What a plugin does wrong is input: it is named by its rule, refused, and survived. Each case loads another plugin, so
// each needs a process of its own (MVM-H7): ctest gives it one; by hand, run one case at a time.
#include <algorithm>
#include <stdexcept>

#include <sys/wait.h>

#include "check/machine.hpp"
#include "mvm/ext/guest_connect.h"
#include "plugins/process.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::host::check;
using namespace mvm::test;
using host::ErrorKind;
using host::PluginLibrary;

namespace {

host::Error load_error(const std::string& path, const std::string& name) {
  const auto loaded = PluginLibrary::load(path, name);
  REQUIRE_FALSE(loaded.has_value());
  return loaded.error();
}

// The error of the instance's making, as the host words it.
std::string create_error(const std::string& path, const std::string& name) {
  const auto library = PluginLibrary::load(path, name);
  REQUIRE(library.has_value());
  const auto created = host::PluginHypervisor::create(*library, {}, {}, nullptr);
  REQUIRE_FALSE(created.has_value());
  return created.error().message;
}

void boot_with_observer(const std::string& path, const std::string& name,
                        const std::function<void(const std::string&)>& say) {
  struct Observer final : host::CallObserver {
    explicit Observer(const std::function<void(const std::string&)>& s) : say(s) {}
    void call_begins(std::string_view call) noexcept override { say(std::string(call) + "\n"); }
    void call_returned() noexcept override { say("returned\n"); }
    const std::function<void(const std::string&)>& say;
  } observer(say);
  const auto library = PluginLibrary::load(path, name);
  auto created = host::PluginHypervisor::create(library.value(), {}, {}, &observer);
  (*created)->boot({}, Call().completion());
}

}  // namespace

TEST_CASE("a file that is no library is refused with the loader's own words", "[plugins]") {
  const TempDir dir;
  const auto path = dir.path() / "libmvm-text.so";
  write_file(path, "not a library\n");
  const host::Error error = load_error(path.string(), "text");
  CHECK(error.kind == ErrorKind::failed);
  CHECK_THAT(error.message, StartsWith(path.string() + ": "));
}

TEST_CASE("a library without the entry symbol is no plugin", "[plugins][MVM-P1]") {
  const std::string message = load_error(MVM_PLUGIN_NO_ENTRY, "no-entry").message;
  CHECK_THAT(message, StartsWith(MVM_PLUGIN_NO_ENTRY ": "));
  CHECK_THAT(message, ContainsSubstring("mvm_plugin_negotiate"));
  CHECK_THAT(message, ContainsSubstring("(MVM-P1)"));
}

TEST_CASE("a plugin of a future ABI is refused with both sides' versions", "[plugins][MVM-P2]") {
  CHECK(load_error(MVM_PLUGIN_FUTURE_ABI, "future-abi").message == MVM_PLUGIN_FUTURE_ABI
        ": speaks ABI 99, this host 1-1 (MVM-P2)");
}

TEST_CASE("a plugin that calls itself something else is refused", "[plugins][MVM-P14]") {
  const std::string message = load_error(MVM_PLUGIN_WRONG_NAME, "wrong-name").message;
  CHECK_THAT(message, StartsWith(MVM_PLUGIN_WRONG_NAME ": "));
  CHECK_THAT(message, ContainsSubstring("\"somebody-else\""));
  CHECK_THAT(message, ContainsSubstring("(MVM-P14)"));
}

TEST_CASE("a plugin whose name has no end is refused", "[plugins][MVM-P2]") {
  const std::string message = load_error(MVM_PLUGIN_UNTERMINATED_NAME, "unterminated-name").message;
  CHECK_THAT(message, StartsWith(MVM_PLUGIN_UNTERMINATED_NAME ": "));
  CHECK_THAT(message, ContainsSubstring("(MVM-P2)"));
}

TEST_CASE("a second plugin in one process is refused by name, the first one again is not", "[plugins][MVM-H7]") {
  const auto first = PluginLibrary::load(MVM_PLUGIN_MINIMAL, "minimal");
  REQUIRE(first.has_value());
  const std::string message = load_error(MVM_PLUGIN_BLOCKING, "blocking").message;
  CHECK_THAT(message, StartsWith(MVM_PLUGIN_BLOCKING ": "));
  CHECK_THAT(message, ContainsSubstring(MVM_PLUGIN_MINIMAL));
  CHECK_THAT(message, ContainsSubstring("(MVM-H7)"));
  CHECK(PluginLibrary::load(MVM_PLUGIN_MINIMAL, "minimal").has_value());
}

TEST_CASE("a plugin that cannot start says why", "[plugins][MVM-P8]") {
  CHECK(create_error(MVM_PLUGIN_INIT_FAILS, "init-fails") == "init-fails 1.0: create: license: expired yesterday");
}

TEST_CASE("a plugin that fails without a word is told off for it", "[plugins][MVM-P8]") {
  const std::string message = create_error(MVM_PLUGIN_INIT_FAILS_SILENTLY, "init-fails-silently");
  CHECK_THAT(message, StartsWith("init-fails-silently 1.0: create: "));
  CHECK_THAT(message, ContainsSubstring("(MVM-P8)"));
}

TEST_CASE("a plugin that lacks a function which may not lack is refused", "[plugins][MVM-P2]") {
  CHECK_THAT(create_error(MVM_PLUGIN_NULL_SLOTS, "null-slots"), ContainsSubstring("(MVM-P2)"));
}

TEST_CASE("a table of an older, smaller version works, and what it lacks is unsupported", "[plugins][MVM-P3]") {
  Machine m(MVM_PLUGIN_SMALL_TABLE, "small-table");
  m.start();
  CHECK(m.list().vms_size() == 1);
  CHECK(m.connect(7).status == MVM_ERR_UNSUPPORTED);
  CHECK(m.share("tag", "/tmp", true).status == MVM_ERR_UNSUPPORTED);
  CHECK_FALSE(m.has_extension(MVM_EXT_GUEST_CONNECT));
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a table of a newer, larger version works", "[plugins][MVM-P3]") {
  Machine m(MVM_PLUGIN_LARGE_TABLE, "large-table");
  m.start();
  CHECK(m.list().vms_size() == 1);
  CHECK(m.share("tag", "/tmp", true).status == MVM_OK);
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a table that says it is endless is read no further than this version knows", "[plugins][MVM-P3]") {
  Machine m(MVM_PLUGIN_HUGE_TABLE, "huge-table");
  m.start();
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a boot that never completes can be abandoned, and destroy names what was left open",
          "[plugins][MVM-P4][MVM-P10]") {
  Machine m(MVM_PLUGIN_NEVER_COMPLETES, "never-completes");
  const Call call;
  const Completion completion = call.completion();
  m.hv().boot(m.spec().SerializeAsString(), completion);
  CHECK_FALSE(call.answered());
  completion.fail(MVM_ERR_DEADLINE, "the host's deadline");  // as the host's own deadline would
  CHECK(call.wait().status == MVM_ERR_DEADLINE);
  m.destroy();
  CHECK_THAT(m.log(), ContainsSubstring("never-completes 1.0: destroy left its boot unanswered (MVM-P10)"));
}

TEST_CASE("a boot that completes twice counts once, and is logged with its rule", "[plugins][MVM-P4]") {
  Machine m(MVM_PLUGIN_COMPLETES_TWICE, "completes-twice");
  m.start();
  CHECK_THAT(m.log(), ContainsSubstring("completes-twice 1.0: "));
  CHECK_THAT(m.log(), ContainsSubstring("(MVM-P4)"));
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a boot that completes late is waited for", "[plugins][MVM-P4]") {
  Machine m(MVM_PLUGIN_COMPLETES_LATE, "completes-late");
  m.start();
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a boot that completes after its instance is gone meets nobody, and is logged with its rule",
          "[plugins][MVM-P4][MVM-P10]") {
  Machine m(MVM_PLUGIN_COMPLETES_LATE, "completes-late");
  const Call call;
  m.hv().boot(m.spec().SerializeAsString(), call.completion());
  m.destroy();
  CHECK(call.wait().status == MVM_ERR_CANCELLED);
  CHECK_THAT(m.log(), ContainsSubstring("(MVM-P10)"));
  CHECK(m.wait_for_log("(MVM-P4)"));
}

TEST_CASE("an fd that is not open is no connection", "[plugins][MVM-P5]") {
  Machine m(MVM_PLUGIN_BAD_FD, "bad-fd");
  m.start();
  const Outcome outcome = m.connect(7);
  CHECK(outcome.status == MVM_ERR_ABI);
  CHECK_THAT(outcome.error, ContainsSubstring("9999"));
  CHECK_THAT(outcome.error, ContainsSubstring("(MVM-P5)"));
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("an fd that is no stream socket is no connection", "[plugins][MVM-P5]") {
  Machine m(MVM_PLUGIN_NOT_A_SOCKET_FD, "not-a-socket-fd");
  m.start();
  const Outcome outcome = m.connect(7);
  CHECK(outcome.status == MVM_ERR_ABI);
  CHECK_THAT(outcome.error, ContainsSubstring("(MVM-P5)"));
}

TEST_CASE("a boot's reply that is no message fails the boot, and the VM can be stopped", "[plugins][MVM-P7]") {
  Machine m(MVM_PLUGIN_GARBAGE_REPLY, "garbage-reply");
  const Outcome outcome = m.boot(m.spec());
  CHECK(outcome.status == MVM_ERR_ABI);
  CHECK_THAT(outcome.error, ContainsSubstring("(MVM-P7)"));
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a guest's connection that is offered to who listens no longer is refused", "[plugins]") {
  Machine m(MVM_PLUGIN_KEEPS_OFFERING, "keeps-offering");
  int taken = 0;
  m.hv().guest_listen(6000, [&](uint32_t, UniqueFd& fd) {
    ++taken;
    fd.reset();
    return true;
  });
  m.hv().list();
  CHECK(taken == 1);
  m.hv().guest_listen(6000, {});
  m.hv().list();
  CHECK(taken == 1);
  m.hv().guest_listen(6001, [&](uint32_t, UniqueFd&) { return ++taken > 0; });
  m.hv().list();  // of port 6000 still
  CHECK(taken == 1);
}

TEST_CASE("an info that is no message is refused by name", "[plugins][MVM-P7]") {
  Machine m(MVM_PLUGIN_GARBAGE_INFO, "garbage-info");
  const auto info = m.hv().describe();
  REQUIRE_FALSE(info.has_value());
  CHECK_THAT(info.error().message, StartsWith("garbage-info 1.0: info: "));
  CHECK_THAT(info.error().message, ContainsSubstring("(MVM-P7)"));
}

namespace {

// Every verb of the plugin throws: each is a status and a message.
void check_throwing(Machine& m, const std::function<std::string(const std::string& call)>& words) {
  const auto failed = [&](const Outcome& outcome, const std::string& call) {
    CHECK(outcome.status == MVM_ERR_INTERNAL);
    CHECK(outcome.error == words(call));
  };
  const auto threw = [&](const auto& fn, const std::string& call) {
    try {
      fn();
      FAIL("did not fail");
    } catch (const mvm::Error& e) {
      CHECK(e.status() == MVM_ERR_INTERNAL);
      CHECK(e.what() == words(call));
    }
  };
  m.start();  // it answered before it threw
  failed(m.connect(7), "vsock_connect");
  failed(m.share("tag", "/tmp", true), "share_dir");
  failed(m.stop(true), "stop");
  threw([&] { m.hv().list(); }, "list");
  threw([&] { m.hv().info(); }, "info");
  threw([&] { m.hv().guest_listen(1, [](uint32_t, UniqueFd&) { return false; }); }, "guest_listen");
  const Call unshare;
  m.hv().unshare_dir({}, unshare.completion());
  const Outcome outcome = unshare.wait();
  CHECK(outcome.status == MVM_ERR_NOT_FOUND);
  CHECK(outcome.error == "unshare_dir: gone");
}

}  // namespace

TEST_CASE("an exception thrown inside a C++ plugin becomes a status and a message", "[plugins][MVM-P9]") {
  Machine m(MVM_PLUGIN_THROWS, "throws");
  check_throwing(m, [](const std::string& call) { return call + ": thrown by a plugin"; });
}

TEST_CASE("a thrown thing that is no exception becomes a status and a message too", "[plugins][MVM-P9]") {
  Machine m(MVM_PLUGIN_THROWS_NON_STD, "throws-non-std");
  check_throwing(m, [](const std::string&) { return "threw something that is not a std::exception"; });
}

TEST_CASE("a plugin that calls exit ends its process, and the call it died in is known", "[plugins]") {
  const ChildEnd end =
      run_in_child([](const auto& say) { boot_with_observer(MVM_PLUGIN_CALLS_EXIT, "calls-exit", say); });
  REQUIRE(WIFEXITED(end.wait_status));
  CHECK(WEXITSTATUS(end.wait_status) != 0);
  CHECK(end.said == "create\nreturned\nboot\n");
}

TEST_CASE("a plugin that crashes ends its process, and the call it died in is known", "[plugins]") {
  const ChildEnd end = run_in_child([](const auto& say) { boot_with_observer(MVM_PLUGIN_CRASHES, "crashes", say); });
  CHECK((WIFSIGNALED(end.wait_status) || WEXITSTATUS(end.wait_status) != 0));
  CHECK(end.said == "create\nreturned\nboot\n");
}
