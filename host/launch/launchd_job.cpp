// SPDX-License-Identifier: Apache-2.0
#include "launch/launchd_job.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <unistd.h>

#include "base/file.hpp"
#include "base/hash.hpp"
#include "base/program.hpp"
#include "base/utf8.hpp"

extern char** environ;

namespace mvm::host {
namespace {

constexpr std::chrono::seconds launchctl_limit{10};

Result<std::string> escaped(std::string_view text) {
  if (!is_utf8(text)) {
    return fail(ErrorKind::invalid, "\"{}\": is not UTF-8, which launchd's property lists are", as_utf8(text));
  }
  // XML's Char (XML 1.0, 2.2) is all that UTF-8 says, but for these two and the control characters.
  const auto npos = std::string_view::npos;
  if (text.find("\xEF\xBF\xBE") != npos || text.find("\xEF\xBF\xBF") != npos) {
    return fail(ErrorKind::invalid, "\"{}\": has U+FFFE or U+FFFF, which launchd's property lists cannot say",
                std::string(text));
  }
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '\r':
        result += "&#13;";  // as it stands, a reader makes it a newline
        break;
      default:
        if (static_cast<unsigned char>(c) < ' ' && c != '\n' && c != '\t') {
          return fail(ErrorKind::invalid, "\"{}\": has a control character, which launchd's property lists cannot say",
                      std::string(text));
        }
        result += c;
    }
  }
  return result;
}

Result<void> add_string(std::string& plist, std::string_view indent, std::string_view tag, std::string_view text) {
  MVM_TRY(const std::string safe, escaped(text));
  plist += formatted("{}<{}>{}</{}>\n", indent, tag, safe, tag);
  return {};
}

// What mvmhost and its plugins read: launchd gives a job hardly any.
std::map<std::string, std::string> own_environment() {
  constexpr std::array kept = {"PATH", "HOME", "TMPDIR", "LANG", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"};
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const auto equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = text.substr(0, equals);
    const bool ours = key.starts_with("MVM_") || std::find(kept.begin(), kept.end(), key) != kept.end();
    if (ours) all.emplace(key, text.substr(equals + 1));
  }
  return all;
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

Result<ProgramEnd> launchctl(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "launchctl");
  auto end = run_program(arguments, launchctl_limit);
  if (end || end.error().kind != ErrorKind::unsupported) return end;
  return fail(ErrorKind::unsupported, "--detach launchd: {}: launchd is macOS's; use --detach plain",
              end.error().message);
}

// Where a job of this user's may be, as launchctl names domains; that of the session that this process is in first: a
// login has windows (Aqua) or not, and a daemon is the system's.
Result<std::vector<std::string>> domains() {
  MVM_TRY(const ProgramEnd asked, launchctl({"managername"}));
  const std::string manager = one_line(asked.output);
  if (manager == "System") return std::vector<std::string>{"system"};
  std::vector<std::string> all = {formatted("gui/{}", ::getuid()), formatted("user/{}", ::getuid())};
  if (manager != "Aqua") std::swap(all.front(), all.back());
  return all;
}

}  // namespace

// With the directory in it: two may have a VM of the same name.
LaunchdJob::LaunchdJob(const std::filesystem::path& home, const VmName& name)
    : label_(formatted("org.mvmhost.{:016x}.{}", hash_of(home.native()), name.str())) {}

Result<std::string> LaunchdJob::plist(const std::vector<std::string>& command,
                                      const std::map<std::string, std::string>& environment) const {
  std::string text =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n"
      "<plist version=\"1.0\">\n<dict>\n";
  text += "  <key>Label</key>\n";
  MVM_CHECK(add_string(text, "  ", "string", label_));
  text += "  <key>ProgramArguments</key>\n  <array>\n";
  for (const auto& argument : command) MVM_CHECK(add_string(text, "    ", "string", argument));
  text += "  </array>\n  <key>EnvironmentVariables</key>\n  <dict>\n";
  for (const auto& [key, value] : environment) {
    MVM_CHECK(add_string(text, "    ", "key", key));
    MVM_CHECK(add_string(text, "    ", "string", value));
  }
  // Without a ProcessType a job is throttled (socket_vmnet#39). Not KeepAlive: a VM that was stopped stays so.
  text +=
      "  </dict>\n"
      "  <key>WorkingDirectory</key>\n  <string>/</string>\n"
      "  <key>ProcessType</key>\n  <string>Interactive</string>\n"
      "  <key>RunAtLoad</key>\n  <true/>\n"
      "  <key>KeepAlive</key>\n  <false/>\n"
      // Also where nobody sits at the screen, as over ssh.
      "  <key>LimitLoadToSessionType</key>\n"
      "  <array>\n    <string>Aqua</string>\n    <string>Background</string>\n    <string>System</string>\n  </array>\n"
      // Told to end, a runner gives its guest 30 s.
      "  <key>ExitTimeOut</key>\n  <integer>60</integer>\n"
      "</dict>\n</plist>\n";
  return text;
}

Result<void> LaunchdJob::start(const std::filesystem::path& file, const std::vector<std::string>& command) const {
  MVM_TRY(const std::string text, plist(command, own_environment()));
  MVM_TRY(const auto all, domains());
  const std::string& where = all.front();
  for (const auto& domain : all) MVM_CHECK(boot_out_of(domain));
  MVM_CHECK(replace_file(file, text, Durability::none));
  (void)launchctl({"enable", where + "/" + label_});  // or it would not start, had somebody disabled it
  const auto started = launchctl({"bootstrap", where, file.string()});
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  MVM_CHECK(started);
  if (started->exit_code == 0) return {};
  return fail(ErrorKind::failed, "launchctl bootstrap {} {}: exit code {}: {}", where, label_, started->exit_code,
              one_line(started->output));
}

Result<void> LaunchdJob::boot_out() const {
  MVM_TRY(const auto all, domains());
  for (const auto& domain : all) MVM_CHECK(boot_out_of(domain));
  return {};
}

// Of a label that is not loaded launchctl says so in words and codes that changed with macOS: whether it is, is asked.
Result<void> LaunchdJob::boot_out_of(const std::string& where) const {
  const std::string target = where + "/" + label_;
  MVM_TRY(const ProgramEnd known, launchctl({"print", target}));
  if (known.exit_code != 0) return {};
  MVM_TRY(const ProgramEnd out, launchctl({"bootout", target}));
  if (out.exit_code == 0) return {};
  MVM_TRY(const ProgramEnd still, launchctl({"print", target}));
  if (still.exit_code != 0) return {};
  return fail(ErrorKind::failed, "launchctl bootout {}: exit code {}: {}", target, out.exit_code, one_line(out.output));
}

}  // namespace mvm::host
