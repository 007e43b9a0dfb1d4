// SPDX-License-Identifier: Apache-2.0
#include "doctor/findings.hpp"

#include <algorithm>

#include "base/format.hpp"
#include "launch/plugin_probe.hpp"
#include "plugin/plugin_finder.hpp"
#include "plugin/plugin_trust.hpp"

namespace mvm::host {
namespace {

std::string subject_of(const std::string& name) { return "plugin " + name; }

void add_probed(Findings& findings, const Result<pb::PluginView>& probed, const std::string& subject, bool needed) {
  if (!probed) {
    findings.push_back(finding(needed ? Verdict::problem : Verdict::warning, subject, probed.error().message));
    return;
  }
  findings.push_back(finding(Verdict::ok, subject, formatted("{}, {}", probed->version(), probed->file())));
  for (const auto& shortfall : probed->info().shortfalls()) {
    findings.push_back(finding(Verdict::warning, subject, shortfall));
  }
}

}  // namespace

Findings check_plugins(const std::string& chosen) {
  Findings findings;
  const PluginFinder finder = PluginFinder::standard();
  for (const auto& candidate : finder.all()) {
    const std::string subject = subject_of(candidate.name);
    if (candidate.usable) {
      add_probed(findings, probe_plugin(candidate.path, candidate.name), subject, candidate.name == chosen);
    } else {
      findings.push_back(finding(Verdict::warning, subject, candidate.reason));
    }
  }
  if (!chosen.empty()) {
    if (const auto found = finder.find(chosen); !found) {
      findings.push_back(finding(Verdict::problem, subject_of(chosen), found.error().message));
    }
  }
  return findings;
}

Findings check_plugin_file(const std::string& path) {
  Findings findings;
  const auto trusted = trusted_plugin_file(path);
  const auto probed = trusted ? probe_plugin(*trusted, "") : tl::unexpected(trusted.error());
  add_probed(findings, probed, "plugin " + (probed ? probed->name() : path), true);
  return findings;
}

}  // namespace mvm::host
