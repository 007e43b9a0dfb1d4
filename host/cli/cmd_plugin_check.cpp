// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include <algorithm>
#include <sstream>

#include "base/json.hpp"
#include "base/parse.hpp"
#include "check/check.hpp"
#include "check/subject.hpp"
#include "cli/command.hpp"
#include "launch/check_runner.hpp"
#include "plugin/plugin_trust.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {
namespace {

using check::Verdict;

struct CheckOptions {
  std::string file;
  std::string kernel;
  std::string initrd;
  std::string rootfs;
  std::string cmdline;
  std::vector<std::string> options;
  std::vector<std::string> services;
  std::string test;
  uint64_t seed = 1;
  unsigned deadline_s = 5;
  bool json = false;
  bool strict = false;
  bool list = false;
  std::vector<std::string> script;
  bool one_vm = false;
  bool together = false;
  std::vector<size_t> child_checks;
  std::string child_note;
};

Result<std::pair<std::string, std::string>> key_and_value(const std::string& option, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return fail(ErrorKind::invalid, "{}: \"{}\" is not of the form KEY=VALUE", option, text);
  }
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

Result<check::Subject> subject_of(const CheckOptions& o, const std::filesystem::path& plugin) {
  check::Subject subject;
  subject.plugin = plugin;
  subject.kernel = absolute(o.kernel);
  subject.initrd = absolute(o.initrd);
  subject.rootfs = absolute(o.rootfs);
  if (!o.cmdline.empty()) subject.cmdline = o.cmdline;
  for (const auto& text : o.options) {
    MVM_TRY(auto option, key_and_value("--option", text));
    subject.options.insert(std::move(option));
  }
  for (const auto& text : o.services) {
    MVM_TRY(const auto service, key_and_value("--service", text));
    uint32_t port = 0;
    std::istringstream number(service.second);
    if (!(number >> port) || !number.eof() || service.second[0] == '-') {
      return fail(ErrorKind::invalid, "--service: \"{}\" is not of the form NAME=PORT", text);
    }
    subject.services[service.first] = port;
  }
  subject.script.insert(o.script.begin(), o.script.end());
  subject.one_vm = o.one_vm;
  subject.together = o.together;
  subject.seed = o.seed;
  subject.deadline = std::chrono::seconds(o.deadline_s);
  return subject;
}

// As typed, for the children, which need the same subject.
std::vector<std::string> child_arguments(const CheckOptions& o, const check::Subject& subject) {
  std::vector<std::string> arguments = {"plugin", "check", subject.plugin.string()};
  const auto add = [&](const std::string& option, const std::string& value) {
    if (!value.empty()) arguments.push_back(option + "=" + value);
  };
  add("--kernel", subject.kernel);
  add("--initrd", subject.initrd);
  add("--rootfs", subject.rootfs);
  add("--cmdline", o.cmdline);
  for (const auto& option : o.options) add("--option", option);
  for (const auto& service : o.services) add("--service", service);
  add("--seed", std::to_string(o.seed));
  add("--deadline", std::to_string(o.deadline_s));
  for (const auto& key : o.script) add("--script", key);
  if (o.one_vm) arguments.emplace_back("--one-vm");
  if (o.together) arguments.emplace_back("--together");
  return arguments;
}

// A group's name, a rule's id, or a part of a sentence; empty: all.
bool is_meant(const check::Check& check, const std::string& test) {
  if (test.empty() || check.group == test) return true;
  if (test.rfind("MVM-", 0) == 0) return (" " + check.rules + " ").find(" " + test + " ") != std::string::npos;
  return check.sentence.find(test) != std::string::npos;
}

Result<std::vector<size_t>> chosen(const std::string& test) {
  std::vector<size_t> numbers;
  for (size_t n = 0; n < check::all_checks().size(); ++n) {
    if (is_meant(check::all_checks()[n], test)) numbers.push_back(n);
  }
  if (numbers.empty()) {
    return fail(ErrorKind::invalid, "--test: \"{}\" is no check, group or rule: see mvmhost plugin check --list", test);
  }
  return numbers;
}

pb::CheckView view_of(const CheckOutcome& outcome) {
  const check::Check& check = check::all_checks()[outcome.number];
  pb::CheckView view;
  view.set_check(check.sentence);
  view.set_group(check.group);
  std::istringstream rules(check.rules);
  for (std::string rule; rules >> rule;) view.add_rules(rule);
  view.set_result(std::string(to_string(outcome.finding.verdict)));
  view.set_details(outcome.finding.details);
  view.set_ms(outcome.ms);
  return view;
}

void count(pb::CheckReport& report, Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return report.set_passed(report.passed() + 1);
    case Verdict::skipped:
      return report.set_skipped(report.skipped() + 1);
    case Verdict::warning:
      return report.set_warnings(report.warnings() + 1);
    case Verdict::failed:
      return report.set_failed(report.failed() + 1);
    case Verdict::crashed:
      return report.set_crashed(report.crashed() + 1);
  }
}

std::string line_of(const pb::CheckView& view) {
  std::string line = formatted("{:<7}  {:<13}  {}", view.result(), view.group(), view.check());
  std::string rules;
  for (const auto& rule : view.rules()) rules += (rules.empty() ? "" : ", ") + rule;
  if (!rules.empty()) line += " (" + rules + ")";
  std::istringstream details(view.details());
  for (std::string detail; std::getline(details, detail);) line += "\n           " + detail;
  return line + "\n";
}

// Runs them; where the library does not even load, the rest is skipped.
Result<void> run_all(const CheckOptions& o, const std::vector<size_t>& numbers, const check::Subject& subject,
                     pb::CheckReport& report) {
  bool loads = true;
  const auto done = [&](const CheckOutcome& outcome) {
    if (outcome.number == 0) loads = outcome.finding.verdict <= Verdict::warning;
    *report.add_checks() = view_of(outcome);
    count(report, outcome.finding.verdict);
    if (!o.json) (void)print(line_of(report.checks(report.checks_size() - 1)));
  };
  const auto arguments = child_arguments(o, subject);
  // The first of all is whether it loads: asked even where only others were meant.
  std::vector<size_t> rest = numbers;
  MVM_CHECK(run_checks({0}, arguments, done));
  rest.erase(std::remove(rest.begin(), rest.end(), size_t{0}), rest.end());
  if (loads) return run_checks(rest, arguments, done);
  for (const size_t number : rest) done({number, {Verdict::skipped, "it does not load"}, 0});
  return {};
}

Result<int> check_plugin(const GlobalOptions& globals, CheckOptions o) {
  o.json = o.json || globals.json();
  if (o.list) {
    std::vector<std::vector<std::string>> rows = {{"GROUP", "RULES", "CHECK"}};
    for (const auto& check : check::all_checks()) rows.push_back({check.group, check.rules, check.sentence});
    MVM_CHECK(print(format_table(rows)));
    return 0;
  }
  if (o.file.empty()) return fail(ErrorKind::invalid, "plugin check: name the library's FILE");
  MVM_TRY(const auto numbers, chosen(o.test));
  MVM_TRY(const auto plugin, trusted_plugin_file(o.file));
  MVM_TRY(check::Subject subject, subject_of(o, plugin));
  check::set_subject(subject);
  if (!o.child_checks.empty()) return run_checks_as_child(o.child_checks, o.child_note);
  pb::CheckReport report;
  report.set_file(plugin.string());
  report.set_seed(o.seed);
  MVM_CHECK(run_all(o, numbers, subject, report));
  report.set_ok(report.failed() + report.crashed() + (o.strict ? report.warnings() : 0) == 0);
  MVM_CHECK(print(o.json ? to_json(report) + "\n"
                         : formatted("{}: {}: {} passed, {} skipped, {} warnings, {} failed, {} crashed\n",
                                     plugin.string(), report.ok() ? "ok" : "NOT OK", report.passed(), report.skipped(),
                                     report.warnings(), report.failed(), report.crashed())));
  return report.ok() ? 0 : static_cast<int>(ErrorKind::failed);
}

}  // namespace

void add_plugin_check(CLI::App& plugin, const GlobalOptions& globals, Action& action) {
  auto* command =
      plugin.add_subcommand("check", "Check what a plugin owes its host, each thing in a process of its own");
  auto o = std::make_shared<CheckOptions>();
  command->add_option("file", o->file, "The library")->type_name("FILE");
  command->add_option("--kernel", o->kernel, "A kernel that it boots (default: a stand-in that none can run)")
      ->type_name("FILE");
  command->add_option("--initrd", o->initrd, "Its initial RAM disk")->type_name("FILE");
  command->add_option("--rootfs", o->rootfs, "A raw image, read-only")->type_name("FILE");
  command->add_option("--cmdline", o->cmdline, "The kernel's command line")->type_name("TEXT");
  command->add_option("--option", o->options, "An option of the hypervisor's, for every boot")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--service", o->services,
                   "What listens in the guest: echo=7, discard=9, pattern=19, share=2049, dial=2050")
      ->type_name("NAME=PORT")
      ->allow_extra_args(false);
  command->add_option("--test", o->test, "Only the checks of a group, of a rule, or with these words")
      ->type_name("NAME");
  command->add_option("--seed", o->seed, "Of the odd specs")->capture_default_str();
  command->add_option("--deadline", o->deadline_s, "How long one answer may take")
      ->type_name("SECONDS")
      ->check(CLI::Range(1u, 3600u))
      ->capture_default_str();
  command->add_flag("--one-vm", o->one_vm, "Checks that only need a running VM share one");
  command->add_flag("--json", o->json, "As --output json");
  command->add_flag("--strict", o->strict, "A warning is a failure");
  command->add_flag("--list", o->list, "Only list the checks");
  // Of this tree's tests: the command line of a simulated guest, in the place of options.
  command->add_option("--script", o->script)->delimiter(',')->allow_extra_args(false)->group("");
  command->add_flag("--together", o->together)->group("");  // for sanitizers
  command->add_option("--child-checks", o->child_checks)->delimiter(',')->group("");
  command->add_option("--child-note", o->child_note)->group("");
  command->callback([&globals, &action, o] { action = [&globals, o] { return check_plugin(globals, *o); }; });
}

}  // namespace mvm::host
