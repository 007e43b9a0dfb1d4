// SPDX-License-Identifier: Apache-2.0
#include "vm_for_test.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <stdlib.h>

namespace mvm::test {

Completion Call::completion() const {
  return Completion([state = state_](mvm_status status, Bytes reply, Bytes error) {
    const std::lock_guard lock(state->mutex);
    state->outcome = Outcome{status, std::string(reply), std::string(error)};
    state->came.notify_all();
  });
}

Outcome Call::wait() const {
  std::unique_lock lock(state_->mutex);
  if (!state_->came.wait_for(lock, deadline, [this] { return state_->outcome.has_value(); })) {
    throw std::runtime_error("no answer within the deadline");
  }
  return *state_->outcome;
}

bool Call::answered() const {
  const std::lock_guard lock(state_->mutex);
  return state_->outcome.has_value();
}

TempDir::TempDir() {
  std::string pattern =
      (std::filesystem::canonical(std::filesystem::temp_directory_path()) / "mvm-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary directory");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

HostDouble::HostDouble() {
  table_.size = sizeof table_;
  table_.abi_major = MVM_ABI_MAJOR;
  table_.ctx = this;
  table_.log_enabled = [](const mvm_host*, int32_t) -> int32_t { return 1; };
  table_.log = [](const mvm_host* h, const mvm_log_record* record) {
    const std::lock_guard lock(self(h).mutex_);
    self(h).log_ += std::string(from_abi(record->message)) + "\n";
  };
  table_.event = [](const mvm_host* h, mvm_bytes bytes) {
    const std::lock_guard lock(self(h).mutex_);
    self(h).events_.push_back(parse<v1::VmEvent>(from_abi(bytes)));
    self(h).came_.notify_all();
  };
}

std::optional<v1::VmExited> HostDouble::wait_for_exit() {
  std::unique_lock lock(mutex_);
  if (!came_.wait_for(lock, deadline, [this] { return !events_.empty(); })) return std::nullopt;
  return events_.back().exited();
}

size_t HostDouble::events() {
  const std::lock_guard lock(mutex_);
  return events_.size();
}

std::string HostDouble::log() {
  const std::lock_guard lock(mutex_);
  return log_;
}

TestVm::TestVm(const std::string& behaviour)
    : loop(host.host()),
      ground{loop.context(),
             host.host(),
             ports,
             table,
             dir.path(),
             {std::chrono::milliseconds(1000), std::chrono::milliseconds(300)},
             {dir / "no-kvm", qemu::AcceleratorMemory(dir / "cache", "this boot"), std::chrono::milliseconds(500)},
             [](const std::string&) {}} {
  spec.set_name("demo");
  spec.set_kernel(dir / "vmlinuz");
  spec.set_cmdline(behaviour);
  spec.set_cpus(1);
  spec.set_memory_bytes(uint64_t{256} << 20);
}

TestVm::~TestVm() {
  if (machine) {
    on_loop([](qemu::Machine& m) { m.stop(true, {}, Completion([](mvm_status, Bytes, Bytes) {})); });
  }
  loop.finish();
}

Outcome TestVm::boot() {
  machine = std::make_shared<qemu::Machine>(ground, qemu::Plan{spec, options, MVM_FAKE_QEMU, {}});
  v1::VmInfo info;
  info.set_name("demo");
  table.add(info);
  return call([](qemu::Machine& m, const Completion& done) { m.boot(done); });
}

void TestVm::start() {
  const Outcome booted = boot();
  if (booted.status != MVM_OK) throw std::runtime_error("boot: " + booted.error);
}

Outcome TestVm::stop(bool force, std::chrono::milliseconds timeout) {
  return call([force, timeout](qemu::Machine& m, const Completion& done) { m.stop(force, timeout, done); });
}

Outcome TestVm::call(const std::function<void(qemu::Machine&, const Completion&)>& verb) {
  const Call call;
  on_loop([verb, done = call.completion()](qemu::Machine& m) {
    try {
      verb(m, done);
    } catch (...) {
      done.fail_with_current_exception();
    }
  });
  return call.wait();
}

}  // namespace mvm::test
