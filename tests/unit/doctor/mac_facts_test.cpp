// SPDX-License-Identifier: Apache-2.0
#include "doctor/mac_facts.hpp"

#include "support/catch.hpp"

namespace mvm::test {
namespace {

using namespace mvm::host;

MacFacts sound_mac() {
  MacFacts facts;
  facts.major = 14;
  facts.minor = 5;
  facts.virtualization_hardware = true;
  facts.may_virtualize = true;
  facts.executable = "/opt/mvm/bin/mvmhost";
  facts.entitlements = "/opt/mvm/share/mvmhost/mvmhost.entitlements";
  return facts;
}

pb::Finding about(const std::string& subject, const MacFacts& facts) {
  for (auto& found : judge_mac(facts)) {
    if (found.subject() == subject) return found;
  }
  return {};
}

}  // namespace

TEST_CASE("on a Mac where nothing is amiss the doctor finds nothing", "[doctor]") {
  for (const auto& found : judge_mac(sound_mac())) CHECK(found.verdict() == "ok");
  CHECK(about("system", sound_mac()).message() == "macOS 14.5");
}

TEST_CASE("a missing entitlement is a problem, and the doctor says the command that signs a copy and puts it in place",
          "[doctor]") {
  MacFacts facts = sound_mac();
  facts.may_virtualize = false;
  facts.executable = "/opt/mvm's/bin/mvmhost";
  const auto found = about("entitlement", facts);
  CHECK(found.verdict() == "problem");
  CHECK(found.message() ==
        "/opt/mvm's/bin/mvmhost lacks com.apple.security.virtualization, and only the executable can have it, no "
        "plugin; sign it: cp '/opt/mvm'\\''s/bin/mvmhost' '/opt/mvm'\\''s/bin/mvmhost.signed' && codesign --force "
        "--sign - --entitlements '/opt/mvm/share/mvmhost/mvmhost.entitlements' '/opt/mvm'\\''s/bin/mvmhost.signed' && "
        "mv '/opt/mvm'\\''s/bin/mvmhost.signed' '/opt/mvm'\\''s/bin/mvmhost'");
}

TEST_CASE("the doctor warns that a hardened runtime refuses the plugins of others, unless library validation is off",
          "[doctor]") {
  MacFacts facts = sound_mac();
  facts.hardened_runtime = true;
  CHECK(about("plugins of others", facts).verdict() == "warning");
  CHECK_THAT(about("plugins of others", facts).message(), ContainsSubstring("codesign --force --sign -"));
  facts.loads_any_library = true;
  CHECK(about("plugins of others", facts).verdict() == "ok");
}

TEST_CASE("macOS 11 is too old, 12 lacks the machine identifier, 13 has all", "[doctor]") {
  MacFacts facts = sound_mac();
  facts.major = 11;
  CHECK(about("system", facts).verdict() == "problem");
  facts.major = 12;
  CHECK(about("system", facts).verdict() == "warning");
  facts.major = 13;
  CHECK(about("system", facts).verdict() == "ok");
}

TEST_CASE("a Mac without virtualization is a problem of its own", "[doctor]") {
  MacFacts facts = sound_mac();
  facts.virtualization_hardware = false;
  CHECK(about("hardware", facts).verdict() == "problem");
}

}  // namespace mvm::test
