// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin_finder.hpp"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include <unistd.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

#include "base/process.hpp"
#include "plugin/library_format.hpp"
#include "plugin/plugin_trust.hpp"

namespace mvm::host {
namespace {

#if defined(__APPLE__)
constexpr std::string_view suffix = ".dylib";
#else
constexpr std::string_view suffix = ".so";
#endif
constexpr std::string_view prefix = "libmvm-";

// set-user-ID and the like: the environment belongs to somebody with fewer rights.
bool is_privileged() {
#if defined(__linux__)
  return ::getauxval(AT_SECURE) != 0;
#else
  return ::issetugid() != 0;
#endif
}

std::filesystem::path user_directory() {
  const auto absolute = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value != nullptr && value[0] == '/' ? value : "");
  };
  if (is_privileged()) return {};
  if (const auto data = absolute("XDG_DATA_HOME"); !data.empty()) return data / "mvm" / "plugins";
  const auto home = absolute("HOME");
  if (home.empty()) return {};
#if defined(__APPLE__)
  return home / "Library" / "Application Support" / "mvm" / "plugins";
#else
  return home / ".local" / "share" / "mvm" / "plugins";
#endif
}

std::vector<std::filesystem::path> plugins_in(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(directory, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    if (!plugin_name_of(it->path()).empty()) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// Links within a directory are somebody's choice of a version; one that leaves it makes another place a plugin
// directory.
bool leaves_directory(const std::filesystem::path& path, const std::filesystem::path& resolved) {
  std::error_code error;
  const auto directory = std::filesystem::canonical(path.parent_path(), error);
  return error || resolved.parent_path() != directory;
}

}  // namespace

std::string plugin_name_of(const std::filesystem::path& path) {
  const std::string whole = path.filename().string();
  std::string_view file = whole;
  if (file.size() <= prefix.size() + suffix.size() || file.substr(0, prefix.size()) != prefix ||
      file.substr(file.size() - suffix.size()) != suffix) {
    return {};
  }
  file.remove_prefix(prefix.size());
  file.remove_suffix(suffix.size());
  return std::string(file);
}

PluginFinder PluginFinder::standard() {
  std::vector<std::filesystem::path> directories;
  if (const char* path = std::getenv("MVM_PLUGIN_PATH"); path != nullptr && !is_privileged()) {
    std::istringstream parts(path);
    for (std::string part; std::getline(parts, part, ':');) {
      if (!part.empty() && part[0] == '/') directories.emplace_back(part);
    }
  }
  if (const auto user = user_directory(); !user.empty()) directories.push_back(user);
  return {std::move(directories), own_executable().parent_path().parent_path() / "lib" / "mvm" / "plugins"};
}

std::vector<PluginCandidate> PluginFinder::all() const {
  std::set<std::string> built_in;
  for (const auto& path : plugins_in(built_in_)) built_in.insert(plugin_name_of(path));
  std::set<std::string> taken;
  std::vector<PluginCandidate> candidates;
  const auto judge = [&](const std::filesystem::path& path, bool is_built_in) {
    PluginCandidate candidate{plugin_name_of(path), path};
    if (const auto trusted = trusted_plugin_file(path); !trusted) {
      candidate.reason = trusted.error().message;
    } else if (leaves_directory(path, *trusted)) {
      candidate.reason = formatted(
          "{}: is a link to {}, out of its directory: copy the library, or say --plugin {} "
          "(MVM-H8)",
          path.string(), trusted->string(), trusted->string());
    } else if (const auto format = check_library_format(*trusted); !format) {
      candidate.reason = format.error().message;
    } else if (!is_built_in && built_in.count(candidate.name) != 0) {
      candidate.shadowed = true;
      candidate.reason = formatted("{}: {} is built in: say --plugin {} to use this one (MVM-H9)", path.string(),
                                   candidate.name, path.string());
    } else if (!taken.insert(candidate.name).second) {
      candidate.shadowed = true;
      candidate.reason = formatted("{}: another {} comes before it (MVM-H9)", path.string(), candidate.name);
    } else {
      candidate.path = *trusted;
      candidate.usable = true;
    }
    candidates.push_back(std::move(candidate));
  };
  for (const auto& directory : directories_) {
    for (const auto& path : plugins_in(directory)) judge(path, false);
  }
  for (const auto& path : plugins_in(built_in_)) judge(path, true);
  return candidates;
}

Result<std::filesystem::path> PluginFinder::find(const std::string& name) const {
  const auto candidates = all();
  std::string usable;
  std::string refused;
  for (const auto& candidate : candidates) {
    if (candidate.usable && candidate.name == name) return candidate.path;
    if (candidate.usable) {
      usable += (usable.empty() ? "" : ", ") + candidate.name;
    } else if (!candidate.shadowed) {
      refused += "\n  skipped: " + candidate.reason;
    }
  }
  std::string looked;
  for (const auto& directory : directories_) looked += "\n  looked in: " + directory.string();
  looked += "\n  looked in: " + built_in_.string();
  return fail(ErrorKind::not_found, "hypervisor \"{}\": not found; there {}{}{}", name,
              usable.empty() ? "is none" : "is: " + usable, refused, looked);
}

}  // namespace mvm::host
