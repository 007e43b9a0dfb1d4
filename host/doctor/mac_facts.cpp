// SPDX-License-Identifier: Apache-2.0
#include "doctor/mac_facts.hpp"

#include "base/format.hpp"

namespace mvm::host {
namespace {

// For a shell: a quote within a path ends what is quoted, and begins it anew.
std::string shell_quoted(const std::filesystem::path& path) {
  std::string out = "'";
  for (const char c : path.string()) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// A copy is signed and put in its place: a program that is signed where it lies while one of its processes runs is
// killed ("Killed: 9", lima-vm/lima#4).
std::string sign_command(const MacFacts& facts) {
  const std::string executable = shell_quoted(facts.executable);
  const std::string copy = shell_quoted(facts.executable.string() + ".signed");
  return formatted("cp {0} {1} && codesign --force --sign - --entitlements {2} {1} && mv {1} {0}", executable, copy,
                   shell_quoted(facts.entitlements));
}

pb::Finding judge_system(const MacFacts& facts) {
  constexpr int oldest = 12;        // VZVirtioSocketDevice and all else that a VM of ours has
  constexpr int oldest_whole = 13;  // VZGenericPlatformConfiguration.machineIdentifier
  const std::string version = formatted("macOS {}.{}", facts.major, facts.minor);
  if (facts.major < oldest) {
    return finding(Verdict::problem, "system",
                   version + ": apple-vz takes macOS 12; update: softwareupdate --install --all");
  }
  if (facts.major < oldest_whole) {
    return finding(Verdict::warning, "system",
                   version +
                       ": VMs run, but without a machine identifier of their own; macOS 13 has that: "
                       "softwareupdate --install --all");
  }
  return finding(Verdict::ok, "system", version);
}

pb::Finding judge_hardware(const MacFacts& facts) {
  if (facts.virtualization_hardware) return finding(Verdict::ok, "hardware", "virtualization is available");
  return finding(Verdict::problem, "hardware",
                 "virtualization is not available: this is a virtual machine without nested virtualization, or a Mac "
                 "that has none; `sysctl kern.hv_support` says 1 where it is");
}

pb::Finding judge_entitlement(const MacFacts& facts) {
  const std::string subject = "entitlement";
  if (facts.may_virtualize) return finding(Verdict::ok, subject, "com.apple.security.virtualization");
  return finding(
      Verdict::problem, subject,
      formatted("{} lacks com.apple.security.virtualization, and only the executable can have it, no plugin; "
                "sign it: {}",
                facts.executable.string(), sign_command(facts)));
}

pb::Finding judge_libraries(const MacFacts& facts) {
  const std::string subject = "plugins of others";
  if (!facts.hardened_runtime)
    return finding(Verdict::ok, subject, "are loaded if they are signed at all (ad hoc will do)");
  if (facts.loads_any_library) return finding(Verdict::ok, subject, "are loaded: library validation is off");
  return finding(
      Verdict::warning, subject,
      formatted("are refused by the hardened runtime of {} unless its own team signed them; to load any, sign "
                "it without that: {}",
                facts.executable.string(), sign_command(facts)));
}

}  // namespace

Findings judge_mac(const MacFacts& facts) {
  return {judge_system(facts), judge_hardware(facts), judge_entitlement(facts), judge_libraries(facts)};
}

}  // namespace mvm::host
