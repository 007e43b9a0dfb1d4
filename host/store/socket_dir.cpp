// SPDX-License-Identifier: Apache-2.0
#include "store/socket_dir.hpp"

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/hash.hpp"

namespace mvm::host {
namespace {

// The smaller of the two systems', so that a path that works on one works on the other (unix(7), Apple's sys/un.h).
constexpr size_t max_socket_path = 103;
constexpr size_t longest_leaf = std::string_view("/0123456789abcdef/vsock.sock_4294967295").size();

std::filesystem::path from_environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] == '/' ? std::filesystem::path(value) : std::filesystem::path();
}

// XDG_RUNTIME_DIR as the specification has it: there, ours, 0700. Under sudo it often is another user's.
bool is_own_private_directory(const std::filesystem::path& path) {
  struct stat s {};
  return ::stat(path.c_str(), &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == ::geteuid() && (s.st_mode & 0077) == 0;
}

Result<std::filesystem::path> base_directory() {
  if (const auto chosen = from_environment("MVM_RUNTIME_DIR"); !chosen.empty()) {
    if (chosen.native().size() + longest_leaf > max_socket_path) {
      return fail(ErrorKind::invalid, "MVM_RUNTIME_DIR: {} is {} bytes long, and sockets in it need it under {}",
                  chosen.string(), chosen.native().size(), max_socket_path - longest_leaf + 1);
    }
    return chosen;
  }
  const auto runtime = from_environment("XDG_RUNTIME_DIR");
  if (!runtime.empty() && is_own_private_directory(runtime)) {
    const auto base = runtime / "mvm";
    if (base.native().size() + longest_leaf <= max_socket_path) return base;
  }
  return std::filesystem::path("/tmp/mvm-" + std::to_string(::geteuid()));
}

}  // namespace

Result<VmSockets> socket_dir_place(const std::filesystem::path& home, const VmName& name) {
  MVM_TRY(const std::filesystem::path base, base_directory());
  return VmSockets{base / formatted("{:016x}", hash_of(home.string() + "\n" + name.str()))};
}

Result<VmSockets> make_socket_dir(const std::filesystem::path& home, const VmName& name) {
  MVM_TRY(const VmSockets sockets, socket_dir_place(home, name));
  const auto base = sockets.directory.parent_path();
  if (std::error_code error; std::filesystem::is_symlink(base, error)) {
    return fail(ErrorKind::failed, "{}: is a link: remove it, or choose another directory with MVM_RUNTIME_DIR",
                base.string());
  }
  MVM_CHECK(own_directory(base));
  MVM_CHECK(own_directory(sockets.directory));
  return sockets;
}

}  // namespace mvm::host
