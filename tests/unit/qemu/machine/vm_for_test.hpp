// SPDX-License-Identifier: Apache-2.0
// A machine on a loop of its own, its QEMU a fake one, and what it tells its host.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "machine/event_loop.hpp"
#include "machine/machine.hpp"
#include "mvm/vm_table.hpp"

namespace mvm::test {

constexpr std::chrono::seconds deadline{20};

struct Outcome {
  mvm_status status = MVM_ERR_INTERNAL;
  std::string reply;
  std::string error;
};

// The answer to one slow verb.
class Call {
 public:
  Completion completion() const;
  Outcome wait() const;  // throws std::runtime_error, which fails the test, when none comes in time
  bool answered() const;

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable came;
    std::optional<Outcome> outcome;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void write_file(const std::string& path, const std::string& content);
std::string read_file(const std::string& path);

// A host that keeps what it is told.
class HostDouble {
 public:
  HostDouble();
  Host host() const { return Host(&table_); }
  std::optional<v1::VmExited> wait_for_exit();
  size_t events();
  std::string log();

 private:
  static HostDouble& self(const mvm_host* host) { return *static_cast<HostDouble*>(host->ctx); }

  mvm_host table_{};
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<v1::VmEvent> events_;
  std::string log_;
};

class TestVm {
 public:
  // behaviour: words of the fake's (fake_qemu.cpp).
  explicit TestVm(const std::string& behaviour = "");
  ~TestVm();

  Outcome boot();
  void start();  // and fails the test if it does not
  Outcome stop(bool force, std::chrono::milliseconds timeout = std::chrono::seconds(10));
  template <class Fn>
  void on_loop(Fn fn) {
    loop.post([machine = machine, fn = std::move(fn)] { fn(*machine); });
  }
  // Runs a verb of the machine's and waits for its answer.
  Outcome call(const std::function<void(qemu::Machine&, const Completion&)>& verb);
  v1::VmState state() const {
    return table.list().vms_size() == 0 ? v1::VM_STATE_STOPPED : table.list().vms(0).state();
  }

  TempDir dir;
  HostDouble host;
  qemu::EventLoop loop;
  HostPorts ports;
  VmTable<v1::VmList> table;
  qemu::Ground ground;
  std::shared_ptr<qemu::Machine> machine;
  v1::VmSpec spec;
  qemu::Options options;
};

}  // namespace mvm::test
