// SPDX-License-Identifier: Apache-2.0
// What a user waits for, with the mock: boot and list as whole processes, a vsock connection from another process, and
// what an idle runner costs. Beside each time its floor in the same run: a process that does nothing, an echo over a
// plain Unix socket.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/json.hpp"
#include "control/control_client.hpp"
#include "measure.hpp"
#include "sandbox.hpp"
#include "store/vm_store.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::bench;

namespace {

using Clock = std::chrono::steady_clock;

constexpr int process_runs = 31;
constexpr int connections = 2000;
constexpr int listed_vms = 1000;
constexpr int idle_seconds = 10;

// A bzImage, as far as anybody looks.
std::filesystem::path make_kernel(const Sandbox& sandbox) {
  std::string kernel(8192, '\0');
  kernel.replace(0x1fe, 2, "\x55\xaa");
  kernel.replace(0x202, 4, "HdrS");
  kernel[0x207] = 2;
  kernel[0x211] = 1;
  const auto path = sandbox.directory() / "bzImage";
  std::ofstream(path, std::ios::binary) << kernel;
  return path;
}

void print(const char* what, const char* unit, const Spread& s, double goal, const char* beside, double floor) {
  std::printf("%-34s %9.3f %9.3f %9.3f %9.3f %-3s  goal <= %g", what, s.min, s.median, s.p99, s.max, unit, goal);
  if (floor > 0) std::printf("   %.1f x %s (%.3f %s)", s.median / floor, beside, floor, unit);
  std::printf("\n");
}

void bench_boot(const std::filesystem::path& kernel, double nothing) {
  const std::vector<std::string> boot = {MVMHOST, "--hypervisor", "mock", "boot", "bench", "--kernel", kernel};
  const auto booted = time_ms(
      process_runs, [&] { must_run(boot); },
      [] {
        must_run({MVMHOST, "stop", "bench"});
      });
  print("boot, whole process", "ms", booted, 40, "a process that does nothing", nothing);
  const auto both = time_ms(
      process_runs,
      [&] {
        must_run(boot);
        must_run({MVMHOST, "stop", "bench", "--force"});
      },
      [] {});
  print("boot + stop --force", "ms", both, 80, "a process that does nothing", nothing);
}

void bench_list(double nothing) {
  const VmStore store = *VmStore::at({});
  for (int i = 0; i < listed_vms; ++i) {
    pb::VmRecord record;
    if (!from_json(*read_file(store.paths(*VmName::parse("bench")).record(), 1 << 20), record)) std::exit(1);
    record.set_name(mvm::host::formatted("vm-{:05}", i));
    const auto directory = store.paths(*VmName::parse(record.name())).directory;
    std::filesystem::create_directory(directory);
    std::ofstream(directory / "record.json") << to_json(record, 2, Unset::omit);
    std::ofstream(directory / "lock") << "";
  }
  const auto listed = time_ms(
      process_runs,
      [] {
        must_run({MVMHOST, "list"});
      },
      [] {});
  print("list of 1,000 VMs, whole process", "ms", listed, 25, "a process that does nothing", nothing);
  const auto json = time_ms(
      process_runs,
      [] {
        must_run({MVMHOST, "list", "--output", "json"});
      },
      [] {});
  print("list --output json of 1,000 VMs", "ms", json, 25, "a process that does nothing", nothing);
  for (int i = 0; i < listed_vms; ++i) {
    std::filesystem::remove_all(store.paths(*VmName::parse(mvm::host::formatted("vm-{:05}", i))).directory);
  }
}

void echo_one_byte(int fd) {
  char byte = 'x';
  if (::write(fd, &byte, 1) != 1 || ::read(fd, &byte, 1) != 1) std::exit(1);
}

// The least it can take: one byte there and back through another thread over a Unix socket.
double echo_floor() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) std::exit(1);
  std::thread echo([fd = ends[1]] {
    char byte = 0;
    while (::read(fd, &byte, 1) == 1) {
      if (::write(fd, &byte, 1) != 1) return;
    }
  });
  const auto floor = time_ms(
      connections, [&] { echo_one_byte(ends[0]); }, [] {});
  ::close(ends[0]);
  echo.join();
  ::close(ends[1]);
  return floor.median;
}

void bench_vsock(const pb::VmRecord& record) {
  auto client = ControlClient::connect(VmSockets{record.socket_dir()}.control());
  if (!client) std::exit(1);
  UniqueFd connection;
  const auto connected = time_ms(
      connections,
      [&] {
        pb::ControlRequest request;
        request.mutable_vsock_connect()->set_port(7);
        auto answer = (*client)->call(request, std::chrono::seconds(5));
        if (!answer) std::exit(1);
        connection = std::move(answer->fd);
        echo_one_byte(connection.get());
      },
      [&] { connection.reset(); });
  print("vsock connection, first byte back", "ms", connected, 0.5, "an echo over a Unix socket", echo_floor());
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

int main() {
  const Sandbox sandbox(MVMHOST);
  std::printf("%-34s %9s %9s %9s %9s\n", "", "min", "median", "p99", "max");
  const double nothing = time_ms(
                             process_runs, [] { must_run({"/bin/true"}); }, [] {})
                             .median;
  bench_boot(make_kernel(sandbox), nothing);
  bench_list(nothing);
  must_run({MVMHOST, "boot", "bench"});
  const auto record = VmStore::at({})->read(*VmName::parse("bench"));
  if (!record) return 1;
  bench_idle(*record);
  bench_vsock(*record);
  return 0;
}
