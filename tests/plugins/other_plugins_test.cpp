// SPDX-License-Identifier: Apache-2.0
// Plugins of other makes than this tree's, and one that watches its host. A process each, as in bad_plugins_test.cpp.
#include <stdexcept>

#include "check/machine.hpp"
#include "check/stream.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::host::check;
using namespace mvm::test;

TEST_CASE("the smallest plugin in C boots, lists and stops a VM", "[plugins][MVM-P1][MVM-P2][MVM-P3]") {
  Machine m(MVM_PLUGIN_MINIMAL, "minimal");
  REQUIRE(m.hv().describe().has_value());
  m.start();
  REQUIRE(m.list().vms_size() == 1);
  CHECK(m.list().vms(0).name() == "demo");
  CHECK(m.stop(true).status == MVM_OK);
  CHECK(m.list().vms_size() == 0);
  CHECK(m.stop(true).status == MVM_ERR_NOT_FOUND);
}

#ifdef MVM_PLUGIN_FULL_PROTOBUF
TEST_CASE("a plugin with a full dynamic libprotobuf and its own copy of our .proto lives in the host's process",
          "[plugins][MVM-P1][MVM-H1]") {
  CHECK(v1::VmSpec::descriptor()->full_name() == "mvm.v1.VmSpec");  // the host's own pool, used before
  Machine m(MVM_PLUGIN_FULL_PROTOBUF, "full-protobuf");
  REQUIRE(m.info().features_size() == 1);
  CHECK(m.info().features(0) == "mvm.v1.VmSpec");
  m.start();
  REQUIRE(m.list().vms_size() == 1);
  CHECK_THAT(m.list().vms(0).guest_address(), ContainsSubstring("\"name\":\"demo\""));
  CHECK(m.stop(true).status == MVM_OK);
  m.destroy();
  CHECK(v1::VmSpec::descriptor()->full_name() == "mvm.v1.VmSpec");
}
#endif

TEST_CASE("a plugin that blocks in its verbs holds its host up nowhere", "[plugins]") {
  Machine m(MVM_PLUGIN_BLOCKING, "blocking");
  m.start();
  CHECK(m.list().vms_size() == 1);
  const Outcome connected = m.connect(7);
  REQUIRE(connected.status == MVM_OK);
  CHECK(read_exactly(connected.fd.get(), 5) == "hello");
  const Outcome share = m.share("tag", "/tmp", true);
  CHECK(share.status == MVM_ERR_UNSUPPORTED);
  CHECK_FALSE(share.error.empty());
  CHECK(m.stop(true).status == MVM_OK);
}

TEST_CASE("a blocked boot is stopped from another thread, and cancelled", "[plugins]") {
  Machine m(MVM_PLUGIN_BLOCKING, "blocking");
  v1::VmSpec spec = m.spec();
  spec.set_cmdline("slow");
  const Call boot;
  m.hv().boot(spec.SerializeAsString(), boot.completion());
  do {  // a stop that came before the boot began to wait is forgotten by this plugin
    REQUIRE(m.stop(true).status == MVM_OK);
  } while (!boot.answered());
  CHECK(boot.wait().status == MVM_ERR_CANCELLED);
}

namespace {

// What the plugin noted while it booted.
std::string witnessed(const host::HostServices& services) {
  const auto library = host::PluginLibrary::load(MVM_PLUGIN_WITNESS, "witness");
  REQUIRE(library.has_value());
  auto created = host::PluginHypervisor::create(*library, {}, services, nullptr);
  REQUIRE(created.has_value());
  const Call boot;
  (*created)->boot("\n\4demo", boot.completion());
  CHECK(boot.wait().status == MVM_OK);
  const auto info = (*created)->describe();
  REQUIRE(info.has_value());
  REQUIRE(info->features_size() == 1);
  return info->features(0);
}

}  // namespace

TEST_CASE("a host gives whole tables, leaves requests alone and never calls back from a completion",
          "[plugins][MVM-H2][MVM-H4][MVM-H5]") {
  Machine m(MVM_PLUGIN_WITNESS, "witness");
  m.start();
  REQUIRE(m.hv().describe().has_value());
  CHECK(m.hv().describe()->features(0) == "console 0;");
  CHECK(m.events() == 1);  // the one that was a message
  CHECK_THAT(m.log(), ContainsSubstring("(MVM-P7)"));
}

TEST_CASE("an exception in the host's own services never reaches the plugin", "[plugins][MVM-H6]") {
  host::HostServices services;
  services.log_enabled = [](int32_t) -> bool { throw std::runtime_error("log_enabled"); };
  services.log = [](int32_t, std::string_view) { throw std::runtime_error("log"); };
  services.event = [](const v1::VmEvent&) { throw std::runtime_error("event"); };
  services.console_open = [](std::string_view) -> host::Result<UniqueFd> { throw 42; };
  CHECK(witnessed(services) == "console " + std::to_string(MVM_ERR_INTERNAL) + ";");
}
