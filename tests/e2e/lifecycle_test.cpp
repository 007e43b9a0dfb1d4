// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {

TEST_CASE("a VM is booted, listed, inspected and stopped", "[e2e][lifecycle]") {
  const Sandbox box;
  const Outcome booted = box.boot("demo");
  CHECK(booted.exit_code == 0);
  CHECK(booted.out.empty());
  CHECK(booted.err.empty());
  CHECK_THAT(box.must({"list"}).out,
             ContainsSubstring("demo") && ContainsSubstring("running") && ContainsSubstring("mock"));
  CHECK(box.state("demo") == "running");
  box.must({"stop", "demo"});
  CHECK(box.state("demo") == "stopped");
  CHECK(box.field("demo", "pid") == "0");
  CHECK(box.field("demo", "exit_reason") == "host-stop");
  CHECK(box.processes().empty());
}

TEST_CASE("list as JSON has the promised fields", "[e2e][lifecycle]") {
  const Sandbox box;
  CHECK(box.must({"list", "--output", "json"}).out == "[]\n");
  box.must_boot("demo", {"--cpus", "3", "--memory", "1G"});
  const std::string json = box.must({"list", "--output", "json"}).out;
  CHECK(json.front() == '[');
  CHECK(json_value(json, "name") == "demo");
  CHECK(json_value(json, "hypervisor") == "mock");
  CHECK(json_value(json, "state") == "running");
  CHECK(std::stoi(json_value(json, "pid")) > 1);
  CHECK(json_value(json, "cpus") == "3");
  CHECK(json_value(json, "memory_bytes") == "1073741824");
  CHECK_THAT(json_value(json, "started_at"), ContainsSubstring("T") && ContainsSubstring("Z"));
  CHECK_THAT(json, ContainsSubstring("\"last_error\": \"\""));
}

TEST_CASE("inspect as JSON has the spec and the paths", "[e2e][lifecycle]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  const std::string port = std::to_string(free_port());
  box.must_boot("demo",
                {"--rootfs", image, "--publish", port + ":80", "--share", box.directory("data").string() + ":stuff",
                 "--cmdline", "quiet \"x\"", "--option", "stop-delay=1"});
  const std::string json = box.inspect("demo");
  CHECK(json_value(json, "kernel") == box.kernel().string());
  CHECK_THAT(json, ContainsSubstring("\"cmdline\": \"quiet \\\"x\\\"\""));
  CHECK_THAT(json, ContainsSubstring("\"stop-delay\": \"1\""));
  CHECK_THAT(json, ContainsSubstring("\"tag\": \"stuff\""));
  CHECK(json_value(json, "host_port") == port);
  CHECK(json_value(json, "guest_port") == "80");
  for (const char* path : {"control_socket", "vsock_socket", "console_log", "runner_log"}) {
    INFO(path);
    CHECK(fs::exists(json_value(json, path)));
  }
  const std::string own_disk = box.vm("demo") / "rootfs.img";
  CHECK_THAT(json, ContainsSubstring("\"rootfs\": \"" + own_disk + "\""));
}

TEST_CASE("boot with the name alone remembers every option", "[e2e][lifecycle]") {
  const Sandbox box;
  const std::string port = std::to_string(free_port());
  const fs::path extra = box.disk("extra.img", 1 << 20);
  box.must_boot("demo", {"--cpus", "5", "--memory", "256M", "--publish", port + ":7", "--share",
                         box.directory("data").string() + ":data:rw", "--cmdline", "quiet", "--option",
                         "console-lines=3", "--disk", extra.string() + ":ro", "--initrd", box.write("initrd", "cpio")});
  const auto without_times = [&] {
    std::string json = box.inspect("demo");
    return json.substr(json.find("\"spec\""), json.find("\"directory\"") - json.find("\"spec\""));
  };
  const std::string before = without_times();
  CHECK_THAT(before, ContainsSubstring("\"cpus\": 5"));
  CHECK_THAT(before, ContainsSubstring("extra.img"));
  box.must({"stop", "demo"});
  box.must({"boot", "demo"});
  CHECK(without_times() == before);
}

TEST_CASE("options given at a later boot replace those alone", "[e2e][lifecycle]") {
  const Sandbox box;
  box.must_boot("demo", {"--cpus", "5", "--memory", "256M", "--option", "console-lines=3", "--option", "stop-delay=1"});
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--memory", "128M", "--option", "stop-delay=2"});
  const std::string json = box.inspect("demo");
  CHECK(json_value(json, "cpus") == "5");
  CHECK(json_value(json, "memory_bytes") == "134217728");
  CHECK_THAT(json, ContainsSubstring("\"stop-delay\": \"2\""));
  CHECK_THAT(json, !ContainsSubstring("console-lines"));
}

TEST_CASE("a refused boot of a stopped VM leaves its record as it was", "[e2e][lifecycle]") {
  const Sandbox box;
  box.must_boot("demo", {"--cpus", "5"});
  box.must({"stop", "demo"});
  const std::string before = slurp(box.vm("demo") / "record.json");
  CHECK_FAILS(box.run({"boot", "demo", "--cpus", "65"}), 2, "65");
  CHECK_FAILS(box.run({"boot", "demo", "--kernel", "/nowhere"}), 2, "/nowhere");
  CHECK(slurp(box.vm("demo") / "record.json") == before);
}

TEST_CASE("a refused first boot leaves no VM", "[e2e][lifecycle]") {
  const Sandbox box;
  CHECK(box.boot("demo", {"--cpus", "65"}).exit_code == 2);
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
  CHECK(box.must({"list", "--output", "json"}).out == "[]\n");
  CHECK(fs::is_empty(box.home() / "vms"));
}

TEST_CASE("a refused boot says why once", "[e2e][lifecycle]") {
  const Sandbox box;
  box.must_boot("demo");
  for (const Outcome& refused : {box.boot("demo"), box.boot("other", {"--cpus", "65"}),
                                 box.boot("other", {"--rootfs", "/nowhere"}), box.boot("other", {"--option", "x=y"})}) {
    INFO(refused.err);
    CHECK(refused.exit_code != 0);
    CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 1);
  }
}

TEST_CASE("a running name is refused", "[e2e][lifecycle]") {
  const Sandbox box;
  box.must_boot("demo");
  const pid_t runner = box.pid("demo");
  CHECK_FAILS(box.boot("demo"), 1, "demo: is running already");
  CHECK_FAILS(box.run({"run", "demo"}), 1, "already");
  CHECK_FAILS(box.run({"boot", "demo", "--fresh"}), 1, "already");
  CHECK(box.pid("demo") == runner);
  CHECK(box.state("demo") == "running");
}

TEST_CASE("of two boots of one name at the same instant exactly one wins", "[e2e][lifecycle]") {
  const Sandbox box;
  box.kernel();
  for (int round = 0; round < 10; ++round) {
    const std::string name = "demo" + std::to_string(round);
    Process first = box.start(box.boot_arguments(name));
    Process second = box.start(box.boot_arguments(name));
    const Outcome a = first.wait();
    const Outcome b = second.wait();
    INFO(a.err << b.err);
    REQUIRE(a.exit_code + b.exit_code == 1);
    CHECK_THAT(a.err + b.err, ContainsSubstring("already"));
    CHECK(box.state(name) == "running");
    CHECK(box.processes().size() == static_cast<size_t>(round + 1));
  }
}

TEST_CASE("of two boots of a stopped VM at the same instant exactly one wins", "[e2e][lifecycle]") {
  const Sandbox box;
  box.must_boot("demo");
  for (int round = 0; round < 5; ++round) {
    box.must({"stop", "demo", "--force"});
    Process first = box.start({"boot", "demo"});
    Process second = box.start({"boot", "demo"});
    const int codes = first.wait().exit_code + second.wait().exit_code;
    REQUIRE(codes == 1);
    CHECK(box.processes().size() == 1);
  }
}

TEST_CASE("boot does not keep its caller's streams open", "[e2e][lifecycle]") {
  const Sandbox box;
  // Process::wait throws where somebody still holds the pipes.
  CHECK(box.start(box.boot_arguments("demo")).wait().exit_code == 0);
  CHECK(box.state("demo") == "running");
}

// ---- stop

TEST_CASE("stop is idempotent", "[e2e][stop]") {
  const Sandbox box;
  box.must_boot("demo");
  for (int i = 0; i < 3; ++i) CHECK(box.run({"stop", "demo"}).exit_code == 0);
  CHECK(box.run({"stop", "demo", "--force"}).exit_code == 0);
  CHECK(box.run({"stop", "--all"}).exit_code == 0);
}

TEST_CASE("stop of several VMs and of all goes on in parallel", "[e2e][stop]") {
  const Sandbox box;
  const Args names = {"one", "two", "three", "four", "five"};
  for (const bool all : {false, true}) {
    for (const auto& name : names) box.must_boot(name, {"--option", "stop-delay=800"});
    Args command = {"stop"};
    command.insert(command.end(), names.begin(), names.end());
    const auto begin = std::chrono::steady_clock::now();
    box.must(all ? Args{"stop", "--all"} : command);
    CHECK(std::chrono::steady_clock::now() - begin < 3s);
    for (const auto& name : names) CHECK(box.state(name) == "stopped");
  }
}

TEST_CASE("stop of a missing VM among others stops the others and exits with 3", "[e2e][stop]") {
  const Sandbox box;
  box.must_boot("demo");
  CHECK_FAILS(box.run({"stop", "nobody", "demo"}), 3, "nobody: no such VM");
  CHECK(box.state("demo") == "stopped");
}

TEST_CASE("a guest that ignores the graceful stop is forced when its time is over", "[e2e][stop]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "ignore-stop=1"});
  const auto begin = std::chrono::steady_clock::now();
  box.must({"stop", "demo", "--timeout", "300ms"});
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(took >= 300ms);
  CHECK(took < 5s);
  CHECK(box.state("demo") == "stopped");
  CHECK(box.processes().empty());
}

TEST_CASE("stop by force overtakes a graceful stop that waits", "[e2e][stop]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "ignore-stop=1"});
  Process graceful = box.start({"stop", "demo"});
  REQUIRE(eventually([&] { return box.state("demo") == "stopping"; }));
  box.must({"stop", "demo", "--force"});
  CHECK(graceful.wait(10s).exit_code == 0);
  CHECK(box.state("demo") == "stopped");
}

TEST_CASE("a hypervisor that never answers stop does not keep the VM", "[e2e][stop]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "hang=stop"});
  box.must({"stop", "demo", "--force"});
  CHECK(box.state("demo") == "stopped");
  CHECK(box.processes().empty());
}

TEST_CASE("a stop while the VM starts ends the boot with its reason", "[e2e][stop]") {
  const Sandbox box;
  Process boot = box.start(box.boot_arguments("demo", {"--option", "boot-delay=60000"}));
  REQUIRE(eventually([&] { return box.state("demo") == "starting" && box.pid("demo") > 1; }));
  box.must({"stop", "demo", "--timeout", "1s"});
  const Outcome booted = boot.wait(10s);
  CHECK(booted.exit_code == 1);
  CHECK_THAT(booted.err, ContainsSubstring("demo: was stopped before it ran"));
  CHECK(box.state("demo") == "stopped");
}

TEST_CASE("stop wants names or all", "[e2e][stop]") {
  const Sandbox box;
  CHECK_FAILS(box.run({"stop"}), 2, "--all");
  CHECK_FAILS(box.run({"stop", "--all", "demo"}), 2, "--all");
  CHECK_FAILS(box.run({"stop", "demo", "--timeout", "soon"}), 2, "--timeout soon");
}

// ---- run

TEST_CASE("run stays in the foreground until a signal stops the VM gracefully", "[e2e][run]") {
  const Sandbox box;
  for (const int signal : {SIGTERM, SIGINT}) {
    Process run = box.start({"run", "demo", "--hypervisor", "mock", "--kernel", box.kernel()});
    REQUIRE(run.wait_err("demo: running"));
    CHECK(box.state("demo") == "running");
    CHECK(box.pid("demo") == run.pid());
    run.send_signal(signal);
    CHECK(run.wait(10s).exit_code == 0);
    CHECK(box.state("demo") == "stopped");
    CHECK(box.field("demo", "exit_reason") == "host-stop");
  }
}

TEST_CASE("a second signal forces the stop of a guest that ignores the first", "[e2e][run]") {
  const Sandbox box;
  Process run =
      box.start({"run", "demo", "--hypervisor", "mock", "--kernel", box.kernel(), "--option", "ignore-stop=1"});
  REQUIRE(run.wait_err("demo: running"));
  run.send_signal(SIGTERM);
  REQUIRE(eventually([&] { return box.state("demo") == "stopping"; }));
  run.send_signal(SIGTERM);
  CHECK(run.wait(10s).exit_code == 0);
  CHECK(box.state("demo") == "stopped");
}

TEST_CASE("run ends with 0 when the guest shuts down and with 1 when it panics", "[e2e][run]") {
  const Sandbox box;
  const Args run = {"run", "demo", "--hypervisor", "mock", "--kernel", box.kernel(), "--option"};
  const auto with = [&](const std::string& option) {
    Args all = run;
    all.push_back(option);
    return box.run(all);
  };
  CHECK(with("exit-after=1").exit_code == 0);
  CHECK(box.field("demo", "exit_reason") == "guest-shutdown");
  CHECK(with("panic-after=1").exit_code == 1);
  CHECK(box.state("demo") == "crashed");
}

TEST_CASE("run can be stopped from another terminal", "[e2e][run]") {
  const Sandbox box;
  Process run = box.start({"run", "demo", "--hypervisor", "mock", "--kernel", box.kernel()});
  REQUIRE(run.wait_err("demo: running"));
  box.must({"stop", "demo"});
  CHECK(run.wait(10s).exit_code == 0);
}

// ---- wait

TEST_CASE("wait ends with the VM and tells how", "[e2e][wait]") {
  const Sandbox box;
  box.must_boot("demo");
  Process waiting = box.start({"wait", "demo"});
  box.must({"stop", "demo"});
  const Outcome waited = waiting.wait(10s);
  CHECK(waited.exit_code == 0);
  CHECK(waited.out == "stopped\n");
  CHECK(box.must({"wait", "demo"}).out == "stopped\n");  // at once

  box.must({"boot", "demo", "--option", "panic-after=200"});
  const Outcome panicked = box.run({"wait", "demo"});
  CHECK(panicked.exit_code == 1);
  CHECK(panicked.out == "crashed\n");
  CHECK_THAT(panicked.err, ContainsSubstring("guest-panic"));
}

TEST_CASE("wait hears of a runner that was killed", "[e2e][wait]") {
  const Sandbox box;
  box.must_boot("demo");
  Process waiting = box.start({"wait", "demo"});
  box.kill_runner("demo");
  const Outcome waited = waiting.wait(10s);
  CHECK(waited.exit_code == 1);
  CHECK(waited.out == "crashed\n");
}

TEST_CASE("wait through a boot waits for the VM's end", "[e2e][wait]") {
  const Sandbox box;
  Process boot = box.start(box.boot_arguments("demo", {"--option", "boot-delay=500", "--option", "exit-after=200"}));
  REQUIRE(eventually([&] { return fs::exists(box.vm("demo") / "lock"); }));
  const Outcome waited = box.run({"wait", "demo"});
  INFO(waited.out << waited.err);
  CHECK(waited.exit_code == 0);
  CHECK(waited.out == "stopped\n");
  CHECK(boot.wait().exit_code == 0);
}

// ---- rm, and what is kept

TEST_CASE("rm removes a stopped VM and refuses a running one", "[e2e][rm]") {
  const Sandbox box;
  box.must_boot("demo");
  CHECK_FAILS(box.run({"rm", "demo"}), 1, "demo: is running: stop it first");
  CHECK(box.state("demo") == "running");
  box.must({"stop", "demo"});
  box.must({"rm", "demo"});
  CHECK_FALSE(fs::exists(box.vm("demo")));
  CHECK_FAILS(box.run({"rm", "demo"}), 3, "demo: no such VM");
}

TEST_CASE("rm removes what it can of several and says what it could not", "[e2e][rm]") {
  const Sandbox box;
  box.must_boot("one");
  box.must_boot("two");
  box.must({"stop", "one"});
  CHECK_FAILS(box.run({"rm", "two", "one"}), 1, "two: is running");
  CHECK_FALSE(fs::exists(box.vm("one")));
  CHECK(fs::exists(box.vm("two")));
}

TEST_CASE("only rm deletes: list and inspect and boot and stop keep disk and logs", "[e2e][rm]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 4 << 20, "the image", {0, 3});
  box.must_boot("demo", {"--rootfs", image});
  box.must({"stop", "demo"});
  const fs::path own = box.vm("demo") / "rootfs.img";
  std::string written = slurp(own);
  written.replace(100, 12, "guest's data");
  box.write("state/vms/demo/rootfs.img", written);
  const std::string runner_log = slurp(box.vm("demo") / "runner.log");
  REQUIRE_FALSE(runner_log.empty());
  const auto nothing_lost = [&] {
    CHECK(slurp(own) == written);
    CHECK_THAT(slurp(box.vm("demo") / "runner.log"), StartsWith(runner_log));
    CHECK_FALSE(slurp(box.vm("demo") / "console.log").empty());
  };
  box.must({"list"});
  box.must({"inspect", "demo"});
  box.must({"stop", "demo"});
  nothing_lost();
  box.must({"boot", "demo"});
  nothing_lost();
  box.kill_runner("demo");
  box.must({"list"});
  box.must({"list", "--output", "json"});
  box.must({"inspect", "demo"});
  box.must({"stop", "--all"});
  nothing_lost();
}

TEST_CASE("boots that fail do not push out the console log of the last run", "[e2e][rm]") {
  const Sandbox box;
  box.must_boot("demo", {"--option", "console-lines=5"});
  REQUIRE(
      eventually([&] { return slurp(box.vm("demo") / "console.log").find("console line 5") != std::string::npos; }));
  box.must({"stop", "demo"});
  const Fd taken = listen_tcp(0);
  for (int i = 0; i < 3; ++i) {
    CHECK(box.run({"boot", "demo", "--publish", std::to_string(port_of(taken)) + ":80"}).exit_code == 1);
  }
  const std::string logs = slurp(box.vm("demo") / "console.log") + slurp(box.vm("demo") / "console.log.1");
  CHECK_THAT(logs, ContainsSubstring("console line 5"));
}

// ---- options and exit codes

TEST_CASE("global options work before and after the command", "[e2e][usage]") {
  const Sandbox box;
  const fs::path elsewhere = box.root() / "elsewhere";
  box.must({"boot", "demo", "--kernel", box.kernel(), "--hypervisor", "mock", "--home", elsewhere});
  CHECK_THAT(box.must({"--home", elsewhere, "--output", "json", "list"}).out, ContainsSubstring("\"demo\""));
  CHECK_THAT(box.must({"list", "--home", elsewhere, "--output", "json"}).out, ContainsSubstring("\"demo\""));
  CHECK(box.must({"list", "--output", "json"}).out == "[]\n");
  box.must({"stop", "demo", "--home", elsewhere});
}

TEST_CASE("bad usage exits with 2 and says what is wrong", "[e2e][usage]") {
  const Sandbox box;
  CHECK(box.run({}).exit_code == 2);
  CHECK_FAILS(box.run({"fly"}), 2, "fly");
  CHECK_FAILS(box.run({"list", "--frobnicate"}), 2, "--frobnicate");
  CHECK_FAILS(box.run({"list", "--output", "xml"}), 2, "xml");
  CHECK_FAILS(box.run({"list", "-v", "-q"}), 2, "quiet");
  CHECK(box.run({"inspect"}).exit_code == 2);
  CHECK(box.run({"inspect", "one", "two"}).exit_code == 2);
  CHECK_FAILS(box.boot("demo", {"--rootfs-mode", "magic"}), 2, "magic");
  CHECK_FAILS(box.boot("demo", {"--option", "novalue"}), 2, "novalue");
  CHECK_FAILS(box.boot("demo", {"--option", "no-such-key=1"}), 2, "no-such-key");
  CHECK_FAILS(box.boot("demo", {"--timeout", "0"}), 2, "--timeout");
  CHECK_FAILS(box.boot("demo", {"--timeout", "-3s"}), 2, "--timeout");
  CHECK_FAILS(box.run({"run", "demo", "--launched"}), 2, "--launched");
}

TEST_CASE("a boot without a hypervisor takes the environment's, else the system's own", "[e2e][usage]") {
  const Sandbox box;
  CHECK_FAILS(box.run({"--hypervisor", "mock", "boot", "demo"}), 2, "--kernel FILE");
#if defined(__linux__)
  for (const char* nothing : {"", static_cast<const char*>(nullptr)}) {
    RunOptions options;
    if (nothing != nullptr) options.environment["MVM_HYPERVISOR"] = nothing;
    const Outcome booted = box.run({"boot", "demo", "--kernel", box.kernel(), "--cpus", "1000"}, options);
    CHECK((booted.exit_code == 2 || booted.exit_code == 5));  // 5: it is not installed
    CHECK_THAT(booted.err, ContainsSubstring("qemu"));
  }
#endif
  box.must({"boot", "demo", "--kernel", box.kernel()}, {.environment = {{"MVM_HYPERVISOR", "mock"}}});
  CHECK(box.field("demo", "hypervisor") == "mock");
}

TEST_CASE("every command says 3 of a VM that is not there", "[e2e][usage]") {
  const Sandbox box;
  for (const Args& command : std::vector<Args>{{"boot", "nobody", "--hypervisor", "nosuch", "--kernel", box.kernel()},
                                               {"stop", "nobody"},
                                               {"inspect", "nobody"},
                                               {"vsock-connect", "nobody", "7"},
                                               {"share-dir", "nobody", box.directory("data")},
                                               {"unshare-dir", "nobody", "data"},
                                               {"logs", "nobody"},
                                               {"wait", "nobody"},
                                               {"rm", "nobody"}}) {
    INFO(command.front());
    CHECK(box.run(command).exit_code == 3);
  }
}

TEST_CASE("verbs that need a running VM say that it is not", "[e2e][usage]") {
  const Sandbox box;
  box.must_boot("demo");
  box.must({"stop", "demo"});
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7"}), 1, "demo: is stopped, not running");
  CHECK_FAILS(box.run({"share-dir", "demo", box.directory("data")}), 1, "demo: is stopped, not running");
  CHECK_FAILS(box.run({"unshare-dir", "demo", "data"}), 1, "demo: is stopped, not running");
}

TEST_CASE("quiet says errors only and verbose says more", "[e2e][usage]") {
  const Sandbox box;
  Process quiet = box.start({"-q", "run", "demo", "--hypervisor", "mock", "--kernel", box.kernel()});
  REQUIRE(eventually([&] { return box.state("demo") == "running"; }));
  quiet.send_signal(SIGTERM);
  const Outcome said = quiet.wait(10s);
  CHECK(said.exit_code == 0);
  CHECK(said.err.empty());
  CHECK_FAILS(box.run({"-q", "inspect", "nobody"}), 3, "nobody: no such VM");

  Process verbose = box.start({"-v", "-v", "run", "demo"});
  REQUIRE(verbose.wait_err("demo: running"));
  verbose.send_signal(SIGTERM);
  CHECK_THAT(verbose.wait(10s).err, ContainsSubstring("debug"));
}

TEST_CASE("a full standard output is an error", "[e2e][usage]") {
  const Sandbox box;
  NEEDS("/dev/full", fs::exists("/dev/full"));
  const RunOptions to_full = {.prefix = {"/bin/sh", "-c", "exec \"$@\" > /dev/full", "sh"}};
  CHECK_FAILS(box.run({"list"}, to_full), 1, "standard output");
}

}  // namespace mvm::test
