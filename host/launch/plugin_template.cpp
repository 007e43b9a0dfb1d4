// SPDX-License-Identifier: Apache-2.0
#include "launch/plugin_template.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/file.hpp"
#include "base/process.hpp"
#include "plugin/plugin_library.hpp"

namespace mvm::host {
namespace {

namespace fs = std::filesystem;

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

Result<void> copy_file(const fs::path& from, const fs::path& to, const std::string& name) {
  constexpr size_t largest = 1024 * 1024;
  MVM_TRY(std::string text, read_file(from, largest));
  std::string identifier = name;  // of languages that know no hyphen
  std::replace(identifier.begin(), identifier.end(), '-', '_');
  replace_all(text, "@NAME@", name);
  replace_all(text, "@IDENT@", identifier);
  const bool runs = (fs::status(from).permissions() & fs::perms::owner_exec) != fs::perms::none;
  const UniqueFd fd = open_file(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, runs ? 0755 : 0644);
  if (!fd || !write_all(fd.get(), text)) return fail(ErrorKind::failed, "{}: {}", to.string(), errno_words(errno));
  return {};
}

Result<void> copy_tree(const fs::path& from, const fs::path& to, const std::string& name) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(from, error)) {
    const fs::path target = to / fs::relative(entry.path(), from);
    if (entry.is_directory()) {
      if (::mkdir(target.c_str(), 0755) != 0) {
        return fail(ErrorKind::failed, "{}: {}", target.string(), errno_words(errno));
      }
    } else {
      MVM_CHECK(copy_file(entry.path(), target, name));
    }
  }
  if (error) return fail(ErrorKind::failed, "{}: {}", from.string(), error.message());
  return {};
}

Result<void> check_new(const std::string& name, const fs::path& directory) {
  if (!is_plugin_name(name)) {
    return fail(ErrorKind::invalid, "{}: is no plugin's name: [a-z0-9][a-z0-9-]{{0,31}} (MVM-P14)", name);
  }
  std::error_code error;
  const auto status = fs::symlink_status(directory, error);
  if (!fs::exists(status)) return {};
  if (!fs::is_directory(status)) {
    return fail(ErrorKind::invalid, "{}: is there, and no directory", directory.string());
  }
  const bool empty = fs::is_empty(directory, error);
  if (error) return fail(ErrorKind::failed, "{}: {}", directory.string(), error.message());
  if (!empty) return fail(ErrorKind::invalid, "{}: is not empty: choose another directory", directory.string());
  return {};
}

}  // namespace

Result<void> new_plugin_project(const std::string& name, const std::string& language, const fs::path& directory) {
  MVM_CHECK(check_new(name, directory));
  const fs::path templates = own_executable().parent_path().parent_path() / "share" / "mvm" / "templates" / language;
  std::error_code error;
  if (!fs::is_directory(templates, error)) {
    return fail(ErrorKind::failed, "{}: is not there: install the SDK (cmake --install)", templates.string());
  }
  fs::path place = directory;
  if (!place.has_filename()) place = place.parent_path();  // a trailing slash
  std::string scratch = place.string() + ".XXXXXX";
  if (::mkdtemp(scratch.data()) == nullptr)
    return fail(ErrorKind::failed, "{}: {}", place.string(), errno_words(errno));
  auto written = copy_tree(templates, scratch, name);
  // Takes the place of an empty directory too, and of nothing else.
  if (written && (::chmod(scratch.c_str(), 0755) != 0 || ::rename(scratch.c_str(), place.c_str()) != 0)) {
    written = fail(ErrorKind::failed, "{}: {}", place.string(), errno_words(errno));
  }
  if (!written) fs::remove_all(scratch, error);
  return written;
}

}  // namespace mvm::host
