// SPDX-License-Identifier: Apache-2.0
// What apple-vz does when the framework, or a guest, does not do as asked: its built library, through the host's proxy,
// on the double of the framework (tests/vz_double), whose faults these are.
#include <chrono>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/socket.h>

#include "check/machine.hpp"
#include "check/stream.hpp"
#include "support/catch.hpp"
#include "vz_double.h"

using namespace mvm;
using namespace mvm::host::check;
using namespace mvm::test;

namespace {

using Clock = std::chrono::steady_clock;

// Sets them for the machines that are made from then on, and takes them back.
class Faults {
 public:
  explicit Faults(const char* script) { vz_double_set_faults(script); }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;
  ~Faults() { vz_double_set_faults(""); }
};

class System {
 public:
  explicit System(const char* version) { vz_double_set_system(version); }
  System(const System&) = delete;
  System& operator=(const System&) = delete;
  ~System() { vz_double_set_system("15.0"); }
};

// The plugin on the double, with a kernel that it takes, and the guest's script on the kernel's command line.
struct Vz : Machine {
  Vz() : Machine(set_up()) {}

  v1::VmSpec spec(const std::string& script = "") const {
    v1::VmSpec s = Machine::spec();
    s.set_cmdline(s.cmdline() + " " + script);
    return s;
  }
  Outcome boot_with(const std::string& key, const std::string& value) {
    v1::VmSpec s = spec();
    (*s.mutable_options())[key] = value;
    return boot(s);
  }
  std::string refusal() {
    const Outcome outcome = boot(spec());
    CHECK(outcome.status != MVM_OK);
    CHECK(list().vms_size() == 0);
    return outcome.error;
  }
  // Nothing of the framework's is left, and no queue.
  bool leaves_nothing() {
    destroy();
    return vz_double_wait_until_quiet(10'000) != 0;
  }

 private:
  static std::filesystem::path set_up() {
    Subject subject;
    subject.kernel = MVM_VZ_DOUBLE_KERNEL;
    set_subject(subject);
    return MVM_APPLE_VZ;
  }
};

v1::VmExited exit_of(Vz& vz) {
  const auto exited = vz.wait_for_exit();
  REQUIRE(exited.has_value());
  return *exited;
}

int ms_since(Clock::time_point begin) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
}

}  // namespace

// ---- boot

TEST_CASE("a configuration that the framework calls invalid without an error fails the boot all the same",
          "[contract]") {
  const Faults faults("invalid-without-error=1");
  Vz vz;
  CHECK(vz.refusal() ==
        "vm demo: cannot be made as asked: the framework finds this configuration invalid, and does not say why");
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a process without the entitlement is denied with the command that helps", "[contract]") {
  const Faults faults("no-entitlement=1");
  Vz vz;
  const Outcome outcome = vz.boot(vz.spec());
  CHECK(outcome.status == MVM_ERR_DENIED);
  CHECK_THAT(outcome.error, ContainsSubstring("com.apple.security.virtualization"));
  CHECK_THAT(outcome.error, ContainsSubstring("`mvmhost doctor` says the command"));
}

TEST_CASE("a Mac without virtualization is unsupported, and its info says so", "[contract]") {
  const Faults faults("unsupported=1");
  Vz vz;
  CHECK(vz.boot(vz.spec()).status == MVM_ERR_UNSUPPORTED);
  REQUIRE(vz.info().shortfalls_size() == 1);
  CHECK_THAT(vz.info().shortfalls(0), StartsWith("no VM can be booted"));
}

TEST_CASE("a start that fails gives the framework's domain, code and words, and the name can be booted again",
          "[contract]") {
  Vz vz;
  {
    const Faults faults("start-error=6");
    const Outcome outcome = vz.boot(vz.spec());
    CHECK(outcome.status == MVM_ERR_BUSY);
    CHECK_THAT(outcome.error, StartsWith("vm demo: could not be started: VZErrorDomain 6 "
                                         "(VZErrorVirtualMachineLimitExceeded): "));
    CHECK_THAT(outcome.error, ContainsSubstring("stop another VM first"));
  }
  vz.must_boot(vz.spec());
  CHECK(vz.events() == 0);
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a slow start that is stopped meanwhile is stopped when it runs, and never seen running", "[contract]") {
  const Faults faults("start-delay=300");
  Vz vz;
  const Call boot;
  vz.hv().boot(vz.spec().SerializeAsString(), boot.completion());
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(boot.wait().status == MVM_ERR_CANCELLED);
  CHECK(vz.events() == 0);
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a start that is never answered is let go after a second when it is stopped", "[contract]") {
  const Faults faults("never=start");
  Vz vz;
  const Call boot;
  vz.hv().boot(vz.spec().SerializeAsString(), boot.completion());
  const auto begin = Clock::now();
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(ms_since(begin) >= 900);
  CHECK(boot.wait().status == MVM_ERR_CANCELLED);
  CHECK(vz.wait_for_log("is let go while it starts"));
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a start that is answered after everybody left brings no machine to life", "[contract]") {
  const Faults faults("start-delay=1500");
  Vz vz;
  const Call boot;
  vz.hv().boot(vz.spec().SerializeAsString(), boot.completion());
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(vz.leaves_nothing());
}

// ---- stop

TEST_CASE("a guest that may not be asked to stop is stopped", "[contract]") {
  const Faults faults("request-stop-error=3");
  Vz vz;
  vz.must_boot(vz.spec());
  CHECK(vz.stop(false, 20'000).status == MVM_OK);
  CHECK(exit_of(vz).reason() == v1::EXIT_REASON_HOST_STOP);
  CHECK(vz.wait_for_log("is stopped without asking the guest: VZErrorDomain 3"));
}

TEST_CASE("a stop that fails lets the machine go, and says why", "[contract]") {
  const Faults faults("stop-error=1");
  Vz vz;
  vz.must_boot(vz.spec());
  CHECK(vz.stop(true).status == MVM_OK);
  const v1::VmExited exited = exit_of(vz);
  CHECK(exited.reason() == v1::EXIT_REASON_HOST_STOP);
  CHECK_THAT(exited.detail(), StartsWith("let go: VZErrorDomain 1"));
  CHECK(vz.list().vms_size() == 0);
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a paused guest is resumed to hear that it shall stop", "[contract]") {
  Vz vz;
  vz.must_boot(vz.spec());
  REQUIRE(vz.pause().status == MVM_OK);
  CHECK(vz.stop(false, 20'000).status == MVM_OK);
  CHECK(exit_of(vz).detail() == "the guest shut down");
}

TEST_CASE("a second stop, by force, ends a graceful one that the guest ignores", "[contract]") {
  const Faults faults("ignore-request-stop=1");
  Vz vz;
  vz.must_boot(vz.spec());
  v1::StopRequest request;
  request.set_name("demo");
  request.set_timeout_ms(600'000);
  const Call graceful;
  vz.hv().stop(request.SerializeAsString(), graceful.completion());
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(graceful.wait().status == MVM_OK);
}

// ---- what the framework tells by itself

TEST_CASE("a guest that powers itself off, and a machine that fails, are told apart", "[contract]") {
  {
    const Faults faults("guest-stops-after=20");
    Vz vz;
    vz.must_boot(vz.spec());
    const v1::VmExited exited = exit_of(vz);
    CHECK(exited.reason() == v1::EXIT_REASON_GUEST_SHUTDOWN);
    CHECK(exited.detail() == "the guest powered itself off");
  }
  const Faults faults("error-after=20");
  Vz vz;
  vz.must_boot(vz.spec());
  const v1::VmExited exited = exit_of(vz);
  CHECK(exited.reason() == v1::EXIT_REASON_ERROR);
  CHECK_THAT(exited.detail(),
             StartsWith("VZErrorDomain 1 (VZErrorInternal): The virtual machine stopped unexpectedly."));
  CHECK(vz.list().vms_size() == 0);
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a network that is lost is told in the log, and the guest runs on", "[contract]") {
  const Faults faults("network-lost-after=20");
  Vz vz;
  v1::VmSpec spec = vz.spec();
  spec.mutable_network()->set_enabled(true);
  vz.must_boot(spec);
  CHECK(vz.wait_for_log("lost its network until it is booted again"));
  CHECK(vz.list().vms(0).state() == v1::VM_STATE_RUNNING);
}

// ---- pause

TEST_CASE("a stop does not wait for a pause that the framework never answers", "[contract]") {
  const Faults faults("never=pause");
  Vz vz;
  vz.must_boot(vz.spec());
  v1::PauseRequest request;
  request.set_name("demo");
  const Call pause;
  vz.hv().pause(request.SerializeAsString(), pause.completion());
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(pause.wait().status == MVM_ERR_CANCELLED);
}

// ---- vsock

TEST_CASE("a connection that is never answered ends with its deadline, or with the stop", "[contract]") {
  const Faults faults("never=connect");
  Vz vz;
  vz.must_boot(vz.spec());
  const Outcome late = vz.connect(7, 50);
  CHECK(late.status == MVM_ERR_DEADLINE);
  CHECK(late.error == "vsock port 7: nobody listens there in the guest, and time is up");
  v1::VsockConnectRequest request;
  request.set_name("demo");
  request.set_port(7);
  request.set_timeout_ms(600'000);
  const Call open;
  vz.hv().vsock_connect(request.SerializeAsString(), open.fd_completion());
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(open.wait().status == MVM_ERR_CANCELLED);
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a connection that is tried once and never answered is refused, and does not wait for ever", "[contract]") {
  const Faults faults("never=connect");
  Vz vz;
  vz.must_boot(vz.spec());
  const Outcome outcome = vz.connect(7);
  CHECK(outcome.status == MVM_ERR_REFUSED);
  CHECK(outcome.error == "vsock port 7: the guest gave no answer");
}

TEST_CASE("a connection that is answered after its deadline is closed, and the guest sees an end", "[contract]") {
  Vz vz;
  vz.must_boot(vz.spec("simulated.connect-delay=\"200\""));
  CHECK(vz.connect(7, 20).status == MVM_ERR_DEADLINE);
  CHECK(vz.connect(7, 10'000).status == MVM_OK);
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(vz.leaves_nothing());
}

TEST_CASE("a thousand connections leave no object of the framework's behind", "[contract]") {
  Vz vz;
  vz.must_boot(vz.spec());
  for (int n = 0; n < 1000; ++n) REQUIRE(vz.connect(7).status == MVM_OK);
  CHECK(vz_double_live_objects("VZVirtioSocketConnection") <= 1);  // the last one's handler may still return
  CHECK(vz.stop(true).status == MVM_OK);
  CHECK(vz.leaves_nothing());
}

// ---- macOS's versions

TEST_CASE("on macOS 12 a VM boots without what came later, and what is asked of that names the version", "[contract]") {
  const System system("12.0");
  Vz vz;
  vz.must_boot(vz.spec());
  CHECK(vz.stop(true).status == MVM_OK);
  const Outcome nested = vz.boot_with("nested", "yes");
  CHECK(nested.status == MVM_ERR_UNSUPPORTED);
  CHECK(nested.error == "option nested: virtual machines in a guest take macOS 15");
  const Outcome rosetta = vz.boot_with("rosetta", "yes");
  CHECK(rosetta.status == MVM_ERR_UNSUPPORTED);
  CHECK(rosetta.error == "option rosetta: Rosetta for Linux guests takes macOS 13");
}

TEST_CASE("Rosetta is shared where it is installed, else the command that installs it is said", "[contract]") {
  Vz vz;
  {
    const Faults faults("rosetta=not-installed");
    CHECK(vz.boot_with("rosetta", "yes").error ==
          "option rosetta: Rosetta is not installed; install it: softwareupdate --install-rosetta");
  }
  const Faults faults("rosetta=installed");
  CHECK(vz.boot_with("rosetta", "yes").status == MVM_OK);
}

TEST_CASE("nested virtualization is asked for where the processor has it", "[contract]") {
  Vz vz;
  {
    const Faults faults("no-nested=1");
    CHECK(vz.boot_with("nested", "yes").status == MVM_ERR_UNSUPPORTED);
  }
  CHECK(vz.boot_with("nested", "yes").status == MVM_OK);
}

// ---- disks and shares

TEST_CASE("a disk that another machine writes is busy, and named", "[contract]") {
  const TempDir dir;
  const std::string disk = dir.path() / "disk.raw";
  write_file(disk, std::string(1024, '\0'));
  Vz vz;
  v1::VmSpec first = vz.spec();
  first.add_disks()->set_path(disk);
  vz.must_boot(first);
  Vz other;
  const Outcome outcome = other.boot(first);
  CHECK(outcome.status == MVM_ERR_BUSY);
  CHECK_THAT(outcome.error, ContainsSubstring("a disk image is in use"));
}

TEST_CASE("a share of the boot is taken away and given again under its own device", "[contract]") {
  const TempDir dir;
  Vz vz;
  v1::VmSpec spec = vz.spec();
  v1::Share* share = spec.add_shares();
  share->set_tag("work");
  share->set_path(dir.path().string());
  vz.must_boot(spec);
  CHECK(vz.share("work", dir.path().string(), true).status == MVM_ERR_BUSY);
  CHECK(vz.unshare("work").status == MVM_OK);
  CHECK(vz.list().vms(0).shares_size() == 0);
  CHECK(vz.share("work", dir.path().string(), true).status == MVM_OK);
  CHECK(vz.share("mvm", dir.path().string(), true).status == MVM_ERR_INVALID);
}

// ---- as other processes see it

TEST_CASE("a connection's descriptor is close-on-exec", "[contract]") {
  Vz vz;
  vz.must_boot(vz.spec());
  const UniqueFd fd = vz.open_stream(7);
  CHECK((::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
}
