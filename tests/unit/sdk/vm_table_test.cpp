// SPDX-License-Identifier: Apache-2.0
#include "mvm/vm_table.hpp"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "mvm/v1/hypervisor.pb.h"
#include "support/catch.hpp"

using namespace mvm;

namespace {

using Table = VmTable<v1::VmList>;

v1::VmInfo vm(const std::string& name) {
  v1::VmInfo info;
  info.set_name(name);
  info.set_state(v1::VM_STATE_STARTING);
  return info;
}

std::vector<std::string> names(const v1::VmList& list) {
  std::vector<std::string> all;
  for (const v1::VmInfo& info : list.vms()) all.push_back(info.name());
  return all;
}

// Runs fn(n) on that many threads at once.
template <class Fn>
void on_threads(int count, const Fn& fn) {
  std::atomic<int> waiting{count};
  std::vector<std::thread> threads;
  for (int n = 0; n < count; ++n) {
    threads.emplace_back([&, n] {
      --waiting;
      while (waiting > 0) std::this_thread::yield();
      fn(n);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("a table lists its VMs by name, each as it was put in") {
  Table table;
  CHECK(table.list().vms_size() == 0);
  table.add(vm("web"));
  table.add(vm("db"));
  CHECK(names(table.list()) == std::vector<std::string>{"db", "web"});
  CHECK(table.list().vms(1).SerializeAsString() == vm("web").SerializeAsString());
}

TEST_CASE("a name that is taken is busy, and the VM that has it stays as it is") {
  Table table;
  table.add(vm("demo"));
  table.set_state("demo", v1::VM_STATE_RUNNING);
  try {
    table.add(vm("demo"));
    FAIL("the name was taken twice");
  } catch (const Error& e) {
    CHECK(e.status() == MVM_ERR_BUSY);
    CHECK(e.what() == std::string("vm demo: is booting or running already"));
  }
  CHECK(table.get("demo").state() == v1::VM_STATE_RUNNING);
}

TEST_CASE("a VM that was removed is neither listed nor got, and its name is free again") {
  Table table;
  table.add(vm("demo"));
  CHECK(table.remove("demo"));
  CHECK(table.list().vms_size() == 0);
  CHECK(table.get("demo").SerializeAsString().empty());
  CHECK_FALSE(table.remove("demo"));
  CHECK_NOTHROW(table.add(vm("demo")));
}

TEST_CASE("state and shares of a VM are those that were set last") {
  Table table;
  table.add(vm("demo"));
  std::vector<v1::Share> shares(2);
  shares[0].set_tag("src");
  shares[1].set_tag("work");
  table.set_shares("demo", shares);
  table.set_state("demo", v1::VM_STATE_PAUSED);
  CHECK(table.get("demo").shares_size() == 2);
  CHECK(table.get("demo").shares(1).tag() == "work");
  CHECK(table.get("demo").state() == v1::VM_STATE_PAUSED);
  shares.pop_back();
  table.set_shares("demo", shares);
  CHECK(table.get("demo").shares_size() == 1);
}

TEST_CASE("a change to a VM that is gone changes nothing and makes none") {
  Table table;
  bool called = false;
  table.change("demo", [&called](v1::VmInfo&) { called = true; });
  table.set_state("demo", v1::VM_STATE_RUNNING);
  table.set_shares("demo", std::vector<v1::Share>(1));
  CHECK_FALSE(called);
  CHECK(table.list().vms_size() == 0);
}

TEST_CASE("of several threads that add one name at once a single one gets it") {
  Table table;
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> added{0};
    on_threads(4, [&](int) {
      try {
        table.add(vm("demo"));
        ++added;
      } catch (const Error&) {
      }
    });
    REQUIRE(added == 1);
    REQUIRE(table.remove("demo"));
  }
}

TEST_CASE("who lists while others change, add and remove sees no VM half changed") {
  constexpr int rounds = 500;
  Table table;
  table.add(vm("demo"));
  std::atomic<int> half_changed{0};
  const auto matches = [](const v1::VmInfo& info) {
    return static_cast<uint64_t>(info.hypervisor_pid()) == static_cast<uint64_t>(info.guest_cid());
  };
  on_threads(4, [&](int n) {
    for (int round = 0; round < rounds; ++round) {
      if (n == 0) {
        table.change("demo", [round](v1::VmInfo& info) {
          info.set_hypervisor_pid(round);
          info.set_guest_cid(static_cast<uint32_t>(round));
        });
      } else if (n == 1) {
        table.add(vm("other"));
        table.remove("other");
      } else {
        const v1::VmList list = table.list();
        if (list.vms_size() < 1 || !matches(list.vms(0)) || !matches(table.get("demo"))) ++half_changed;
      }
    }
  });
  CHECK(half_changed == 0);
  CHECK(table.get("demo").hypervisor_pid() == rounds - 1);
}
