// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin_trust.hpp"

#include <cerrno>
#include <string_view>
#include <system_error>

#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"

namespace mvm::host {
namespace {

// Distributions with a group per user make everything group-writable: that gives nobody else anything.
bool is_private_group(uid_t user, gid_t group) {
  const passwd* owner = ::getpwuid(user);
  if (owner == nullptr || owner->pw_gid != group) return false;
  const std::string name = owner->pw_name;
  const struct group* g = ::getgrgid(group);
  return g != nullptr && name == g->gr_name && g->gr_mem[0] == nullptr;
}

Result<void> check_one(const std::filesystem::path& path, const struct stat& s) {
  if (s.st_uid != 0 && s.st_uid != ::geteuid()) {
    return fail(ErrorKind::failed, "{}: belongs to user {}, neither to root nor to you (MVM-H8)", path.string(),
                s.st_uid);
  }
  const bool sticky = S_ISDIR(s.st_mode) && (s.st_mode & S_ISVTX) != 0;
  const bool by_others = (s.st_mode & S_IWOTH) != 0;
  const bool by_group = (s.st_mode & S_IWGRP) != 0 && s.st_gid != 0 && !is_private_group(s.st_uid, s.st_gid);
  if ((by_others || by_group) && !sticky) {
    return fail(ErrorKind::failed, "{}: is writable by others (mode {:o}): chmod go-w it (MVM-H8)", path.string(),
                s.st_mode & 07777);
  }
  return {};
}

}  // namespace

Result<std::filesystem::path> trusted_plugin_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::canonical(path, error);
  if (error) return fail(ErrorKind::not_found, "{}: {}", path.string(), error.message());
  struct stat s {};
  if (::lstat(resolved.c_str(), &s) != 0) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
  if (S_ISDIR(s.st_mode)) return fail(ErrorKind::failed, "{}: is a directory, not a library (MVM-H8)", path.string());
  if (!S_ISREG(s.st_mode)) return fail(ErrorKind::failed, "{}: is not a regular file (MVM-H8)", path.string());
  MVM_CHECK(check_one(resolved, s));
  for (auto above = resolved.parent_path();; above = above.parent_path()) {
    if (::lstat(above.c_str(), &s) != 0) {
      return fail(ErrorKind::failed, "{}: {}", above.string(), errno_words(errno));
    }
    MVM_CHECK(check_one(above, s));
    if (above == above.root_path()) return resolved;
  }
}

}  // namespace mvm::host
