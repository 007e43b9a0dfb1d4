// SPDX-License-Identifier: Apache-2.0
#include "machine/accelerator.hpp"

#include <future>

#include <sys/stat.h>

#include "support/catch.hpp"
#include "vm_for_test.hpp"

using namespace mvm;
using namespace mvm::qemu;
using namespace mvm::test;

namespace {

// A choice with a device that opens, whatever is behind it.
class Chooser {
 public:
  Chooser() : loop(host.host()) { write_file(dir / "kvm", ""); }

  Accelerator choose(const std::string& kernel, AcceleratorWish wish = AcceleratorWish::automatic) {
    AcceleratorChoice::Setting setting{dir / "kvm", memory, std::chrono::milliseconds(700)};
    AcceleratorChoice choice(loop.context(), host.host(), setting);
    LaunchFacts facts;
    facts.program = MVM_FAKE_QEMU;
    std::promise<Accelerator> chosen;
    loop.post([&] { choice.choose(wish, facts, dir / kernel, [&](Accelerator a) { chosen.set_value(a); }); });
    auto result = chosen.get_future();
    if (result.wait_for(deadline) != std::future_status::ready) throw std::runtime_error("nothing was chosen");
    std::promise<void> done;
    loop.post([&] { done.set_value(); });
    done.get_future().wait();
    return result.get();
  }

  TempDir dir;
  HostDouble host;
  AcceleratorMemory memory{dir / "cache", "this boot"};
  EventLoop loop;
};

}  // namespace

TEST_CASE("KVM is taken where the kernel is seen to come up under it") {
  Chooser chooser;
  CHECK(chooser.choose("works") == Accelerator::kvm);
}

TEST_CASE("TCG is taken, and the reason logged, where a kernel hangs, dies or resets under KVM") {
  Chooser chooser;
  CHECK(chooser.choose("hangs") == Accelerator::tcg);
  CHECK_THAT(chooser.host.log(), ContainsSubstring("the kernel did not come up under it within 700 ms"));
  CHECK(chooser.choose("dies") == Accelerator::tcg);
  CHECK_THAT(chooser.host.log(), ContainsSubstring("failed to initialize kvm: Function not implemented"));
  CHECK(chooser.choose("resets") == Accelerator::tcg);
}

TEST_CASE("what was found out is remembered for the kernel, and tried again for another one") {
  Chooser chooser;
  write_file(chooser.dir / "kernel", "one");
  const std::string key = file_identity(MVM_FAKE_QEMU) + " | " + file_identity(chooser.dir / "kernel");
  chooser.memory.remember(key, true);
  CHECK(chooser.choose("kernel") == Accelerator::kvm);  // which the fake would have hung on
  write_file(chooser.dir / "kernel", "another");
  CHECK(chooser.choose("kernel") == Accelerator::tcg);
}

TEST_CASE("what was asked for is taken untried") {
  Chooser chooser;
  CHECK(chooser.choose("hangs", AcceleratorWish::kvm) == Accelerator::kvm);
  CHECK(chooser.choose("works", AcceleratorWish::tcg) == Accelerator::tcg);
}

TEST_CASE("the memory holds until the host is booted again") {
  const TempDir dir;
  const AcceleratorMemory memory(dir / "a/b", "boot 1\n");
  CHECK_FALSE(memory.recall("k"));
  memory.remember("k", true);
  memory.remember("l", false);
  CHECK(memory.recall("k") == true);
  CHECK(memory.recall("l") == false);
  memory.remember("k", false);
  CHECK(AcceleratorMemory(dir / "a/b", "boot 1").recall("k") == false);
  CHECK_FALSE(AcceleratorMemory(dir / "a/b", "boot 2").recall("k"));
}

TEST_CASE("a memory that makes no sense, is too long or cannot be written is as good as none") {
  const TempDir dir;
  const AcceleratorMemory memory(dir.path(), "boot 1");
  const std::string file = dir / "qemu-kvm.json";
  for (const std::string& content :
       {std::string("{"), std::string("[]"), std::string(R"({"boot_id": 7})"),
        std::string(R"({"boot_id": "boot 1", "kernels": {"k": 1}})"),
        std::string(
            R"({"boot_id": "boot 1", "kernels": [1, {}, {"of": 1, "works": true}, {"of": "k", "works": "no"}]})"),
        std::string(1 << 20, ' ')}) {
    write_file(file, content);
    CHECK_FALSE(memory.recall("k"));
  }
  memory.remember("k", true);
  CHECK(memory.recall("k") == true);
  const AcceleratorMemory nowhere("/proc/nowhere", "boot 1");
  nowhere.remember("k", true);
  CHECK_FALSE(nowhere.recall("k"));
  AcceleratorMemory(dir / "without", "").remember("k", true);
  CHECK(read_file(dir / "without/qemu-kvm.json").empty());
}

TEST_CASE("the memory keeps the last 64 kernels") {
  const TempDir dir;
  const AcceleratorMemory memory(dir.path(), "boot 1");
  for (int n = 0; n < 70; ++n) memory.remember("k" + std::to_string(n), true);
  CHECK(memory.recall("k69") == true);
  CHECK(memory.recall("k6") == true);
  CHECK_FALSE(memory.recall("k5"));
}
