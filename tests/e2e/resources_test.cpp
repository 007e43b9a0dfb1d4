// SPDX-License-Identifier: Apache-2.0
#include "e2e/support/sandbox.hpp"

namespace mvm::test {

TEST_CASE("a number of cpus that is none or too many is refused", "[e2e][resources]") {
  const Sandbox box;
  for (const char* cpus : {"0", "x", "", "1.5", "2x", " 2", "4294967296", "99999999999999999999", "-1"}) {
    INFO("cpus " << cpus);
    CHECK_FAILS(box.boot("demo", {std::string("--cpus=") + cpus}), 2, "cpus");
  }
  CHECK_FAILS(box.boot("demo", {"--cpus", "65"}), 2, "--cpus 65: mock has 64 at most");
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
  box.must_boot("demo", {"--cpus", "64"});
}

TEST_CASE("an amount of memory that is none or too much or too little is refused", "[e2e][resources]") {
  const Sandbox box;
  for (const char* memory : {"0", "0G", "1K", "abc", "", "-1M", "1.3333M", "12Q", "1e9", "0x10", "99999999999999999999",
                             "16777215T", "2T", "15M", "16777217", "M"}) {
    INFO("memory " << memory);
    CHECK_FAILS(box.boot("demo", {std::string("--memory=") + memory}), 2, "memory");
  }
  CHECK_FAILS(box.boot("demo", {"--memory", "2T"}), 2, "mock has 1 TiB at most");
  CHECK_FAILS(box.boot("demo", {"--memory", "1M"}), 2, "mock needs 16 MiB at least");
  CHECK(box.run({"inspect", "demo"}).exit_code == 3);
}

TEST_CASE("sizes are taken in the usual spellings", "[e2e][resources]") {
  const Sandbox box;
  int n = 0;
  for (const auto& [text, bytes] :
       {std::pair{"16M", "16777216"}, std::pair{"1.5g", "1610612736"}, std::pair{"512MiB", "536870912"},
        std::pair{"33554432", "33554432"}, std::pair{"1T", "1099511627776"}}) {
    const std::string name = "vm" + std::to_string(++n);
    box.must_boot(name, {"--memory", text});
    CHECK(box.field(name, "memory_bytes") == bytes);
  }
}

TEST_CASE("a command line too long for kernels is refused", "[e2e][resources]") {
  const Sandbox box;
  CHECK_FAILS(box.boot("demo", {"--cmdline", std::string(2049, 'x')}), 2, "--cmdline: has 2049 bytes");
  box.must_boot("demo", {"--cmdline", std::string(2048, 'x')});
}

TEST_CASE("the default is 2 cpus and 512 MiB", "[e2e][resources]") {
  const Sandbox box;
  box.must_boot("demo");
  CHECK(box.field("demo", "cpus") == "2");
  CHECK(box.field("demo", "memory_bytes") == "536870912");
}

}  // namespace mvm::test
