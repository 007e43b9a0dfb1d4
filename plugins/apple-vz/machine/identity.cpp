// SPDX-License-Identifier: Apache-2.0
#include "identity.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "bridge/host_system.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::apple_vz {
namespace {

constexpr size_t max_identifier_bytes = 4096;

[[noreturn]] void fail(const std::string& path) {
  const int error = errno;
  throw Error(error == EACCES || error == EPERM ? MVM_ERR_DENIED : MVM_ERR_INTERNAL,
              path + ": " + std::strerror(error));
}

// Empty when there is no such file.
std::string read(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file && errno == ENOENT) return {};
  if (!file) fail(path);
  std::string data(max_identifier_bytes, '\0');
  const ssize_t n = ::read(file.get(), data.data(), data.size());
  if (n < 0) fail(path);
  data.resize(static_cast<size_t>(n));
  if (data.empty()) throw Error(MVM_ERR_INVALID, path + ": is empty; remove it, and the guest gets a new identifier");
  return data;
}

// Whole or not at all, whatever happens meanwhile.
void write(const std::string& path, std::string_view data) {
  const std::string unfinished = path + ".new";
  ::unlink(unfinished.c_str());
  const UniqueFd file(::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const bool written = file && ::write(file.get(), data.data(), data.size()) == static_cast<ssize_t>(data.size()) &&
                       ::fsync(file.get()) == 0 && ::rename(unfinished.c_str(), path.c_str()) == 0;
  if (written) return;
  const int error = errno;
  ::unlink(unfinished.c_str());
  errno = error;
  fail(path);
}

// FNV-1a, 64 bits.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

std::string machine_identifier(const std::string& state_dir, const std::string& vm_name) {
  if (state_dir.empty()) return {};
  const std::string path = state_dir + "/" + vm_name + ".machine-identifier";
  std::string kept = read(path);
  if (kept.empty()) {
    kept = new_machine_identifier();
    if (!kept.empty()) write(path, kept);
    return kept;
  }
  if (is_machine_identifier(kept)) return kept;
  // An older system knows none: it lets the file be.
  if (new_machine_identifier().empty()) return {};
  throw Error(MVM_ERR_INVALID, path + ": holds no machine identifier; remove it, and the guest gets a new one");
}

std::string derived_mac(const std::string& state_dir, const std::string& vm_name) {
  const uint64_t hash = hash_of(state_dir + '\0' + vm_name);
  std::array<char, 18> text{};
  // 0x02: locally administered, and not a group's.
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", static_cast<unsigned>((hash & 0xfc) | 0x02),
                static_cast<unsigned>(hash >> 8 & 0xff), static_cast<unsigned>(hash >> 16 & 0xff),
                static_cast<unsigned>(hash >> 24 & 0xff), static_cast<unsigned>(hash >> 32 & 0xff),
                static_cast<unsigned>(hash >> 40 & 0xff));
  return text.data();
}

}  // namespace mvm::apple_vz
