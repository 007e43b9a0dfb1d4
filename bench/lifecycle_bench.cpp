// SPDX-License-Identifier: Apache-2.0
// Boot and stop as whole processes: with the mock, beside libvirt's simulated driver, which starts no process for a
// domain; of real guests, beside libvirt's driver for QEMU; and what an idle runner costs.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include "libvirt_session.hpp"
#include "measure.hpp"
#include "sandbox.hpp"
#include "store/vm_store.hpp"

using namespace mvm::host;
using namespace mvm::bench;

namespace {

constexpr int idle_seconds = 10;

// The mock's guest takes 10 ms for a graceful stop, unless told otherwise.
// Each its own VM, booted before: options that change are waited for until they are on the disk.
Entrant boot_and_stop(const std::string& name, const Sandbox& sandbox, const std::string& vm,
                      const std::string& stop_delay, std::vector<std::string> stop) {
  stop.insert(stop.begin(), {MVMHOST, "stop", vm});
  const std::vector<std::string> boot = {MVMHOST,
                                         "--hypervisor",
                                         "mock",
                                         "boot",
                                         vm,
                                         "--kernel",
                                         sandbox.kernel(),
                                         "--option",
                                         "stop-delay=" + stop_delay};
  return {name, [boot, stop] {
            must_run(boot);
            must_run(stop);
          }};
}

// In one virsh: its simulated driver forgets all when the process ends.
Entrant virsh(const std::filesystem::path& directory) {
  const auto file = directory / "domain.xml";
  std::ofstream(file) << "<domain type='test'><name>bench</name><memory unit='KiB'>524288</memory><vcpu>2</vcpu>"
                         "<os><type arch='x86_64'>hvm</type></os></domain>\n";
  return {
      "virsh -c test:///: define, start, destroy", [file] {
        must_run({"virsh", "-q", "-c", "test:///default", "define " + file.string() + "; start bench; destroy bench"});
      }};
}

void bench_boot(const Sandbox& sandbox, int rounds) {
  std::vector<Entrant> all = {boot_and_stop("mvmhost boot, stop, guest takes 0 ms", sandbox, "prompt", "0", {}),
                              boot_and_stop("mvmhost boot, stop, guest takes 10 ms", sandbox, "slow", "10", {}),
                              boot_and_stop("mvmhost boot, stop --force", sandbox, "forced", "10", {"--force"}),
                              {"a process that does nothing", [] { must_run({"true"}); }}};
  if (in_path("virsh")) all.push_back(virsh(sandbox.directory()));
  in_turn(all, rounds);
  print_in_turn("boot and stop", all);
}

// Real guests, without KVM: from nothing until QEMU runs the guest's first instruction, and until nothing is left of
// it.
void bench_guests(const std::filesystem::path& kernel, const std::filesystem::path& initrd, int rounds) {
  const std::vector<std::string> boot = {MVMHOST,    "--hypervisor", "qemu",     "boot",     "guest",
                                         "--kernel", kernel,         "--initrd", initrd,     "--memory",
                                         "256M",     "--cpus",       "1",        "--option", "accel=tcg"};
  std::vector<Entrant> all = {{"mvmhost boot, stop --force, QEMU", [boot] {
                                 must_run(boot);
                                 must_run({MVMHOST, "stop", "guest", "--force"});
                               }}};
  std::optional<LibvirtSession> session;
  if (LibvirtSession::available()) {
    session.emplace(kernel, initrd);
    all.push_back({"virsh -c qemu:///session: start, destroy",
                   [&session] { must_run(session->virsh("start bench; destroy bench")); }});
  } else {
    std::printf("\nqemu:///session: libvirtd is not here: scripts/setup --bench installs it\n");
  }
  in_turn(all, rounds);
  print_in_turn("boot and stop of a guest in QEMU", all);
}

void bench_idle(const pb::VmRecord& record) {
  const std::filesystem::path process = "/proc/" + std::to_string(record.pid());
  // The deadline of a call that came back long ago still fires once, 2 s after the boot.
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const long before = wake_ups(process);
  std::this_thread::sleep_for(std::chrono::seconds(idle_seconds));
  std::printf("%-34s %.1f MiB resident (goal <= 15), %ld wake-ups in %d s (goal 0)\n", "idle runner",
              static_cast<double>(status_field(process, "VmRSS:")) / 1024.0, wake_ups(process) - before, idle_seconds);
}

}  // namespace

// mvm-lifecycle-bench [ROUNDS [KERNEL INITRD]]
int main(int argc, char** argv) {
  const Sandbox sandbox;
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 9;
  bench_boot(sandbox, rounds);
  if (argc > 3) bench_guests(argv[2], argv[3], rounds);
  must_run({MVMHOST, "boot", "prompt"});
  const auto record = VmStore::at({})->read(*VmName::parse("prompt"));
  if (!record) return 1;
  std::printf("\n");
  bench_idle(*record);
  return 0;
}
