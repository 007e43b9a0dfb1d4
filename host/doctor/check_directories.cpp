// SPDX-License-Identifier: Apache-2.0
#include "doctor/findings.hpp"

#include <unistd.h>

#include "base/file.hpp"
#include "base/format.hpp"
#include "store/socket_dir.hpp"

namespace mvm::host {
namespace {

// A guest's disk and its logs; less than this and a boot may well fail half-way.
constexpr uintmax_t little_space = uintmax_t{1} << 30;

std::filesystem::path nearest_that_exists(std::filesystem::path path) {
  std::error_code ignored;
  while (!std::filesystem::exists(path, ignored) && path.has_relative_path()) path = path.parent_path();
  return path;
}

pb::Finding check_home(const std::filesystem::path& home) {
  const std::string subject = "state directory";
  const auto nearest = nearest_that_exists(home);
  if (nearest == home) {
    // It is there, so this makes nothing.
    if (const auto owned = own_directory(home); !owned)
      return finding(Verdict::problem, subject, owned.error().message);
  }
  if (::access(nearest.c_str(), W_OK) != 0) {
    return finding(Verdict::problem, subject,
                   formatted("{}: {}; name another with --home or MVM_HOME", nearest.string(), errno_words(errno)));
  }
  std::error_code error;
  const auto space = std::filesystem::space(nearest, error);
  if (error) return finding(Verdict::problem, subject, formatted("{}: {}", nearest.string(), error.message()));
  const std::string free = formatted("{} MiB are free", space.available >> 20);
  if (space.available < little_space) {
    return finding(
        Verdict::warning, subject,
        formatted("{}: only {}: remove VMs with `mvmhost rm`, or name another place with --home", home.string(), free));
  }
  return finding(Verdict::ok, subject, formatted("{}, {}", home.string(), free));
}

pb::Finding check_sockets(const VmStore& store) {
  const auto place = socket_dir_place(store.home(), *VmName::parse("doctor"));
  if (!place) return finding(Verdict::problem, "sockets", place.error().message);
  const auto base = place->directory.parent_path();
  const auto nearest = nearest_that_exists(base);
  if (::access(nearest.c_str(), W_OK) != 0) {
    return finding(Verdict::problem, "sockets",
                   formatted("{}: {}; name another with MVM_RUNTIME_DIR", nearest.string(), errno_words(errno)));
  }
  return finding(Verdict::ok, "sockets", base.string());
}

}  // namespace

Findings check_directories(const VmStore& store) { return {check_home(store.home()), check_sockets(store)}; }

}  // namespace mvm::host
