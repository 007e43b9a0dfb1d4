// SPDX-License-Identifier: Apache-2.0
#include "share/sharing_support.hpp"

#include <cerrno>
#include <cstdlib>

#include <unistd.h>

#include "fakes.hpp"
#include "support/catch.hpp"

using namespace mvm::test;
using mvm::qemu::DaemonKind;
using mvm::qemu::explain_refusal;
using mvm::qemu::find_sharing;
using mvm::qemu::Privilege;
using mvm::qemu::ShareNamespace;
using mvm::qemu::SharingProbe;
using mvm::qemu::SharingSupport;

namespace {

// A system that has this program, and lets it do anything.
SharingProbe system_with(const std::string& program) {
  SharingProbe probe;
  probe.programs = {program};
  probe.privileges = {Privilege::user_namespace};
  probe.enter = [](const ShareNamespace&, int) { return 0; };
  return probe;
}

int refuse(const ShareNamespace&, int) {
  const char words[] = "user namespace";
  return ::write(2, words, sizeof words - 1) > 0 ? EPERM : EIO;
}

}  // namespace

TEST_CASE("without virtiofsd nothing can be shared, and the reason says what to install") {
  SharingProbe probe = system_with("/nowhere/virtiofsd");
  probe.programs.emplace_back("/elsewhere/virtiofsd");
  const SharingSupport support = find_sharing(probe);
  CHECK_FALSE(support.supported);
  CHECK(support.reason ==
        "share_dir: virtiofsd was not found (/nowhere/virtiofsd, /elsewhere/virtiofsd); install it: apt install "
        "virtiofsd, on Debian 12 and Ubuntu 22.04 qemu-system-common");
}

TEST_CASE("the first virtiofsd that is there is asked for its version") {
  const FakeDaemons fakes;
  SharingProbe probe = system_with("/nowhere/virtiofsd");
  probe.programs.push_back(fakes.named("rust"));
  const SharingSupport support = find_sharing(probe);
  CHECK(support.supported);
  CHECK(support.reason.empty());
  CHECK(support.program == fakes.named("rust"));
  CHECK(support.version.kind == DaemonKind::rust);
  CHECK(support.version.number == "1.13.2");
}

TEST_CASE("a program that is not virtiofsd is refused with what it says it is") {
  const FakeDaemons fakes;
  const SharingSupport support = find_sharing(system_with(fakes.named("unknown")));
  CHECK_FALSE(support.supported);
  CHECK(support.reason == "share_dir: " + fakes.named("unknown") +
                              ": is not a virtiofsd that is known here; --version says: frobnicator 3");
}

TEST_CASE("a virtiofsd that does not end at --version is given up") {
  const FakeDaemons fakes;
  SharingProbe probe = system_with(fakes.named("hanging"));
  probe.timeout = std::chrono::milliseconds(200);
  const SharingSupport support = find_sharing(probe);
  CHECK_FALSE(support.supported);
  CHECK(support.reason == "share_dir: " + fakes.named("hanging") + ": --version does not end");
}

TEST_CASE("where namespaces are refused nothing can be shared, and the reason says what the kernel said") {
  const FakeDaemons fakes;
  SharingProbe probe = system_with(fakes.named("rust"));
  probe.enter = refuse;
  const SharingSupport support = find_sharing(probe);
  CHECK_FALSE(support.supported);
  CHECK(support.reason == "share_dir: neither root's privileges nor a user namespace can be had here (" +
                              fakes.named("rust") +
                              ": cannot be prepared: Operation not permitted: user namespace); in a container, run it "
                              "with --privileged");
}

TEST_CASE("root without root's powers shares as an ordinary user does") {
  const FakeDaemons fakes;
  SharingProbe probe = system_with(fakes.named("rust"));
  probe.privileges = {Privilege::root, Privilege::user_namespace};
  CHECK(find_sharing(probe).privilege == Privilege::root);
  probe.enter = [](const ShareNamespace& own, int) { return own.privilege() == Privilege::root ? EPERM : 0; };
  const SharingSupport support = find_sharing(probe);
  CHECK(support.supported);
  CHECK(support.privilege == Privilege::user_namespace);
}

TEST_CASE("a switch that forbids user namespaces is named, with how to turn it") {
  CHECK(explain_refusal({{"kernel.unprivileged_userns_clone", 0}}, "EPERM") ==
        "share_dir: user namespaces are off here (kernel.unprivileged_userns_clone=0); run mvmhost as root, or allow "
        "them: sysctl -w kernel.unprivileged_userns_clone=1");
  CHECK(
      explain_refusal({{"kernel.apparmor_restrict_unprivileged_userns", 1}}, "EACCES") ==
      "share_dir: user namespaces are off here (kernel.apparmor_restrict_unprivileged_userns=1); run mvmhost as root, "
      "or allow them: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
  CHECK_THAT(explain_refusal({{"user.max_user_namespaces", 0}}, "ENOSPC"),
             ContainsSubstring("sysctl -w user.max_user_namespaces=15000"));
  CHECK_THAT(explain_refusal({{"user.max_user_namespaces", 96364}, {"kernel.unprivileged_userns_clone", 1}}, "EPERM"),
             ContainsSubstring("in a container"));
}

TEST_CASE("MVM_VIRTIOFSD names the only program that counts") {
  ::setenv("MVM_VIRTIOFSD", "/opt/virtiofsd", 1);
  const auto programs = SharingProbe::of_this_system().programs;
  ::unsetenv("MVM_VIRTIOFSD");
  CHECK(programs == std::vector<std::string>{"/opt/virtiofsd"});
  CHECK(SharingProbe::of_this_system().programs.size() > 1);
}

TEST_CASE("this system is tried really, and can either share or says why not") {
  const SharingSupport support = find_sharing();
  if (!support.supported) WARN(support.reason);
  CHECK(support.supported == support.reason.empty());
  CHECK(support.supported == !support.program.empty());
}
