// SPDX-License-Identifier: Apache-2.0
#include "check/check.hpp"

#include <algorithm>
#include <mutex>

namespace mvm::host::check {

// One a file of checks: named here, so that a linker takes them out of the library, in the order of a report.
void link_load_checks();
void link_negotiate_checks();
void link_lifecycle_checks();
void link_disk_checks();
void link_pause_checks();
void link_share_checks();
void link_vsock_checks();
void link_fuzz_checks();

namespace {

std::vector<Check>& registered() {
  static std::vector<Check> checks;
  return checks;
}

constexpr std::string_view groups[] = {"load",   "negotiate", "info",          "extensions", "lifecycle", "completion",
                                       "errors", "threads",   "fds",           "console",    "events",    "pause",
                                       "share",  "vsock",     "guest-connect", "fuzz"};

size_t rank(const Check& check) {
  return static_cast<size_t>(std::find(std::begin(groups), std::end(groups), check.group) - std::begin(groups));
}

// Of the check that is under way.
std::mutex mutex;
Finding finding;

std::string quoted(std::string_view text) {
  return "\"" + std::string(text.substr(0, 300)) + (text.size() > 300 ? "...\"" : "\"");
}

}  // namespace

void add_check(Check check) { registered().push_back(std::move(check)); }

const std::vector<Check>& all_checks() {
  static const std::vector<Check> sorted = [] {
    for (const auto link : {link_load_checks, link_negotiate_checks, link_lifecycle_checks, link_disk_checks,
                            link_pause_checks, link_share_checks, link_vsock_checks, link_fuzz_checks}) {
      link();
    }
    std::vector<Check> checks = registered();
    std::stable_sort(checks.begin(), checks.end(), [](const Check& a, const Check& b) { return rank(a) < rank(b); });
    return checks;
  }();
  return sorted;
}

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return "passed";
    case Verdict::skipped:
      return "skipped";
    case Verdict::warning:
      return "warning";
    case Verdict::failed:
      return "failed";
    case Verdict::crashed:
      return "crashed";
  }
  return "";
}

void note(Verdict verdict, const std::string& details) {
  const std::lock_guard lock(mutex);
  finding.verdict = std::max(finding.verdict, verdict);
  if (finding.details.size() < 4096 && !details.empty()) {
    finding.details += (finding.details.empty() ? "" : "\n") + details;
  }
}

Finding run_here(const Check& check) {
  {
    const std::lock_guard lock(mutex);
    finding = {};
  }
  try {
    check.run();
  } catch (const Ended& end) {
    note(end.verdict, end.what());
  } catch (const std::exception& e) {
    note(Verdict::failed, e.what());
  }
  const std::lock_guard lock(mutex);
  return finding;
}

Match contains(std::string_view text, std::string_view part) {
  return {text.find(part) != std::string_view::npos, quoted(text) + " contains " + quoted(part)};
}

Match starts_with(std::string_view text, std::string_view part) {
  return {text.substr(0, part.size()) == part, quoted(text) + " starts with " + quoted(part)};
}

namespace {

std::string not_met(const Outspoken& outcome, const char* expression) {
  const std::string words = std::string("not so: ") + expression;
  return outcome.words.empty() || outcome.words == expression ? words : words + ", with " + outcome.words;
}

}  // namespace

void expect(const Outspoken& outcome, const char* expression, Verdict otherwise) {
  if (!outcome.yes) note(otherwise, not_met(outcome, expression));
}

void require(const Outspoken& outcome, const char* expression) {
  if (!outcome.yes) throw Ended(Verdict::failed, not_met(outcome, expression));
}

}  // namespace mvm::host::check
