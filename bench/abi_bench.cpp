// SPDX-License-Identifier: Apache-2.0
// What the plugin boundary costs: the same call of the same class directly, by a virtual function, and through the ABI,
// the host's proxy and its checks included.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>

#include "measure.hpp"
#include "null_hypervisor.hpp"
#include "plugin/plugin_hypervisor.hpp"
#include "plugin/plugin_library.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace {

using mvm::Hypervisor;
using mvm::bench::give_up;

// Behind a volatile pointer: the compiler can't know its class, as the host can't.
Hypervisor& direct() {
  static mvm::bench::NullHypervisor hypervisor;
  static Hypervisor* volatile pointer = &hypervisor;
  return *pointer;
}

Hypervisor& through_the_abi() {
  static const std::unique_ptr<mvm::host::PluginHypervisor> hypervisor = [] {
    auto library = mvm::host::PluginLibrary::load(MVM_NULL_PLUGIN, "null");
    if (!library) give_up(library.error().message);
    auto made = mvm::host::PluginHypervisor::create(*library, "", {}, nullptr);
    if (!made) give_up(made.error().message);
    return std::move(*made);
  }();
  return *hypervisor;
}

void list(benchmark::State& state, Hypervisor& hypervisor) {
  for (auto step : state) benchmark::DoNotOptimize(hypervisor.list());
}

// A request, and an answer by completion: inline, as this plugin gives it.
void boot_and_stop(benchmark::State& state, Hypervisor& hypervisor) {
  mvm::v1::VmSpec spec;
  spec.set_name("bench");
  const std::string bytes = spec.SerializeAsString();
  int done = 0;
  const auto count = [&done](mvm_status, mvm::Bytes, mvm::Bytes) { ++done; };
  for (auto step : state) {
    hypervisor.boot(bytes, mvm::Completion(count));
    hypervisor.stop("", mvm::Completion(count));
  }
  benchmark::DoNotOptimize(done);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("list, direct virtual call", [](benchmark::State& s) { list(s, direct()); });
  benchmark::RegisterBenchmark("list, through the ABI", [](benchmark::State& s) { list(s, through_the_abi()); });
  benchmark::RegisterBenchmark("boot and stop, direct virtual calls",
                               [](benchmark::State& s) { boot_and_stop(s, direct()); });
  benchmark::RegisterBenchmark("boot and stop, through the ABI",
                               [](benchmark::State& s) { boot_and_stop(s, through_the_abi()); });
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
