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

// A state directory for this run, gone afterwards.
class Sandbox {
 public:
  Sandbox() {
    std::string path = "/tmp/mvm-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::exit(1);
    directory_ = path;
    ::setenv("MVM_HOME", (directory_ / "home").c_str(), 1);
    ::setenv("MVM_RUNTIME_DIR", (directory_ / "run").c_str(), 1);
    std::string kernel(8192, '\0');
    kernel.replace(0x1fe, 2, "\x55\xaa");
    kernel.replace(0x202, 4, "HdrS");
    kernel[0x207] = 2;
    kernel[0x211] = 1;
    std::ofstream(this->kernel(), std::ios::binary) << kernel;
  }
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;
  ~Sandbox() {
    run({MVMHOST, "stop", "--all", "--force"});
    std::filesystem::remove_all(directory_);
  }
  std::filesystem::path kernel() const { return directory_ / "bzImage"; }

 private:
  std::filesystem::path directory_;
};

void print(const char* what, const char* unit, const Spread& s, double goal, const char* beside, double floor) {
  std::printf("%-34s %9.3f %9.3f %9.3f %9.3f %-3s  goal <= %g", what, s.min, s.median, s.p99, s.max, unit, goal);
  if (floor > 0) std::printf("   %.1f x %s (%.3f %s)", s.median / floor, beside, floor, unit);
  std::printf("\n");
}

void bench_boot(const Sandbox& sandbox, double nothing) {
  const std::vector<std::string> boot = {MVMHOST, "--hypervisor", "mock",          "boot",
                                         "bench", "--kernel",     sandbox.kernel()};
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

long field_of(const std::filesystem::path& status, const std::string& key) {
  std::ifstream lines(status);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key, 0) == 0) return std::strtol(line.c_str() + key.size(), nullptr, 10);
  }
  return 0;
}

long context_switches(const std::filesystem::path& process) {
  long all = 0;
  for (const auto& thread : std::filesystem::directory_iterator(process / "task")) {
    all += field_of(thread.path() / "status", "voluntary_ctxt_switches:");
    all += field_of(thread.path() / "status", "nonvoluntary_ctxt_switches:");
  }
  return all;
}

void bench_idle(const pb::VmRecord& record) {
  const std::filesystem::path process = "/proc/" + std::to_string(record.pid());
  // The deadline of a call that came back long ago still fires once, 2 s after the boot.
  std::this_thread::sleep_for(std::chrono::seconds(3));
  const long before = context_switches(process);
  std::this_thread::sleep_for(std::chrono::seconds(idle_seconds));
  std::printf("%-34s %.1f MiB resident (goal <= 15), %ld wake-ups in %d s (goal 0)\n", "idle runner",
              static_cast<double>(field_of(process / "status", "VmRSS:")) / 1024.0, context_switches(process) - before,
              idle_seconds);
}

}  // namespace

int main() {
  const Sandbox sandbox;
  std::printf("%-34s %9s %9s %9s %9s\n", "", "min", "median", "p99", "max");
  const double nothing = time_ms(
                             process_runs, [] { must_run({"/bin/true"}); }, [] {})
                             .median;
  bench_boot(sandbox, nothing);
  bench_list(nothing);
  must_run({MVMHOST, "boot", "bench"});
  const auto record = VmStore::at({})->read(*VmName::parse("bench"));
  if (!record) return 1;
  bench_idle(*record);
  bench_vsock(*record);
  return 0;
}
