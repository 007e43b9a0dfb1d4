// SPDX-License-Identifier: Apache-2.0
// `list` of 10,000 VMs as a whole process, beside libvirt's simulated driver with as many domains, and the reference's
// algorithm: a scan of directories, each with a pid to send signal 0 to.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/json.hpp"
#include "measure.hpp"
#include "sandbox.hpp"
#include "store/vm_store.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::bench;

namespace {

namespace fs = std::filesystem;

constexpr int vms = 10'000;

std::string name_of(int i) { return mvm::host::formatted("vm-{:05}", i); }

pb::VmRecord record_of(int i, VmState state) {
  pb::VmRecord record;
  record.set_format(1);
  record.set_name(name_of(i));
  record.set_hypervisor("mock");
  record.set_plugin_version("0.1.0");
  record.mutable_spec()->set_kernel("/boot/vmlinuz");
  record.mutable_spec()->set_cpus(2);
  record.mutable_spec()->set_memory_bytes(512ull << 20);
  record.mutable_spec()->set_mac("02:00:00:00:00:01");
  record.set_state(std::string(to_string(state)));
  record.set_pid(is_active(state) ? ::getpid() : 0);
  record.set_created_at("2026-11-23T08:05:37.123Z");
  record.set_started_at("2026-11-23T08:05:37.123Z");
  return record;
}

// Of `running` VMs this process holds the locks, as their runners would.
std::vector<UniqueFd> fill_home(const fs::path& home, int running, VmState others) {
  std::vector<UniqueFd> locks;
  for (int i = 0; i < vms; ++i) {
    const fs::path directory = home / "vms" / name_of(i);
    fs::create_directories(directory);
    const pb::VmRecord record = record_of(i, i < running ? VmState::running : others);
    std::ofstream(directory / "record.json") << to_json(record, 2, Unset::omit) << "\n";
    UniqueFd lock = open_file(directory / "lock", O_RDWR | O_CREAT, 0600);
    if (!lock) give_up(directory / "lock");
    if (i >= running) continue;
    if (::flock(lock.get(), LOCK_EX) != 0) give_up(directory / "lock");
    locks.push_back(std::move(lock));
  }
  return locks;
}

void fill_reference(const fs::path& directory) {
  for (int i = 0; i < vms; ++i) {
    fs::create_directories(directory / name_of(i));
    std::ofstream(directory / name_of(i) / "pid") << ::getpid() << "\n";
  }
}

// As the reference does it, but that it deletes nothing.
int scan_like_the_reference(const fs::path& directory) {
  std::string out;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (!entry.is_directory()) continue;
    const auto text = read_file(entry.path() / "pid", 64);
    if (text && ::kill(static_cast<pid_t>(std::atol(text->c_str())), 0) == 0) {
      out += entry.path().filename().string() + "\n";
    }
  }
  return write_all(STDOUT_FILENO, out) ? 0 : 1;
}

void fill_virsh(const fs::path& file) {
  std::ofstream node(file);
  node << "<node>\n";
  for (int i = 0; i < vms; ++i) {
    // 5: shut off, which is what they are in an installation's everyday
    node << "<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>"
            "<test:runstate>5</test:runstate><name>"
         << name_of(i)
         << "</name><memory unit='KiB'>524288</memory><vcpu>2</vcpu><os><type arch='x86_64'>hvm</type></os></domain>\n";
  }
  node << "</node>\n";
}

Entrant list(const std::string& what, const fs::path& home, const char* output) {
  return {"mvmhost list" + what, [home, output] { must_run({MVMHOST, "--home", home, "--output", output, "list"}); }};
}

}  // namespace

// mvm-list-bench [ROUNDS]
int main(int argc, char** argv) {
  if (argc == 3 && argv[1] == std::string("--scan")) return scan_like_the_reference(argv[2]);
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 9;
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  const Sandbox sandbox;
  const fs::path& at = sandbox.directory();
  fill_home(at / "stopped", 0, VmState::stopped);
  const auto some = fill_home(at / "some", vms / 100, VmState::stopped);
  const auto running = fill_home(at / "running", vms, VmState::stopped);
  fill_home(at / "crashed", 0, VmState::running);
  fill_reference(at / "reference");
  std::vector<Entrant> all = {list(", all stopped", at / "stopped", "table"),
                              list(", all stopped, as JSON", at / "stopped", "json"),
                              list(", 100 running", at / "some", "table"),
                              list(", all running", at / "running", "table"),
                              list(", all crashed", at / "crashed", "table"),
                              {"the reference's scan, all running", [&] {
                                 must_run({argv[0], "--scan", at / "reference"});
                               }}};
  if (in_path("virsh")) {
    fill_virsh(at / "node.xml");
    all.push_back({"virsh -c test:///, all shut off", [&] {
                     must_run({"virsh", "-q", "-c", "test://" + (at / "node.xml").string(), "list", "--all"});
                   }});
  }
  // A record that changed just now is read again each time.
  std::this_thread::sleep_for(racy_time + std::chrono::milliseconds(100));
  in_turn(all, rounds);
  print_in_turn("list of 10,000 VMs", all);
  return 0;
}
