// SPDX-License-Identifier: Apache-2.0
// For authors of hypervisors in C++: what every plugin looks at in a VmSpec before it boots one, and in whose words it
// is refused. Errors begin with their subject, "kernel /boot/vmlinuz" (MVM-P8). Header-only; knows libc and the
// standard library. No function here keeps anything, so any thread may call any of them.
#ifndef MVM_SPEC_CHECK_HPP
#define MVM_SPEC_CHECK_HPP

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hypervisor.hpp"

namespace mvm {

// VmSpec.name. Throws mvm::Error, MVM_ERR_INVALID, unless it is [a-z0-9][a-z0-9-]{0,62}: fit for a file and a host
// name.
inline void check_vm_name(const std::string& name) {
  constexpr size_t max_bytes = 63;
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool ok = !name.empty() && name.size() <= max_bytes && plain(name[0]) &&
                  std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-'; });
  if (!ok) throw Error(MVM_ERR_INVALID, "vm \"" + name + "\": is not a name of the form [a-z0-9][a-z0-9-]{0,62}");
}

// VmSpec.required_features, a range of strings. Throws mvm::Error, MVM_ERR_UNSUPPORTED, with the first that is not
// among the known ones (MVM-P12). plugin: as the user calls it.
template <class Features>
void check_features(const Features& required, std::string_view plugin,
                    std::initializer_list<std::string_view> known = {}) {
  for (const std::string& feature : required) {
    if (std::find(known.begin(), known.end(), feature) != known.end()) continue;
    throw Error(MVM_ERR_UNSUPPORTED,
                "feature \"" + feature + "\": required, and unknown to " + std::string(plugin) + " (MVM-P12)");
  }
}

// Which failure it is that a file which a user named cannot be opened. error: an errno.
inline mvm_status status_of_errno(int error) noexcept {
  if (error == ENOENT || error == ENOTDIR) return MVM_ERR_NOT_FOUND;
  return error == EACCES || error == EPERM || error == EROFS ? MVM_ERR_DENIED : MVM_ERR_INVALID;
}

// info: as it was when it was opened.
struct OpenFile {
  UniqueFd fd;
  struct stat info {};
};

// Opens a file or a device, never a directory. flags: open(2)'s access mode; close-on-exec and non-blocking are added,
// so that a FIFO holds nobody up. Throws mvm::Error: status_of_errno, and the system's words.
inline OpenFile open_file(const std::string& subject, const std::string& path, int flags) {
  OpenFile file{UniqueFd(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC)), {}};
  if (!file.fd || ::fstat(file.fd.get(), &file.info) != 0) {
    const int error = errno;
    throw Error(status_of_errno(error), subject + ": " + std::generic_category().message(error));
  }
  if (S_ISDIR(file.info.st_mode)) throw Error(MVM_ERR_INVALID, subject + ": is a directory");
  return file;
}

// Opens a regular file to read it, with something in it: a kernel, an initrd. Throws as open_file, and MVM_ERR_INVALID.
inline OpenFile open_regular_file(const std::string& subject, const std::string& path) {
  OpenFile file = open_file(subject, path, O_RDONLY);
  if (!S_ISREG(file.info.st_mode)) throw Error(MVM_ERR_INVALID, subject + ": is not a regular file");
  if (file.info.st_size == 0) throw Error(MVM_ERR_INVALID, subject + ": is empty");
  return file;
}

// The first max_bytes of a file, or all that it has, to tell its format by. Throws mvm::Error, MVM_ERR_INVALID.
inline std::string read_head(const std::string& subject, const OpenFile& file, size_t max_bytes) {
  std::string head(max_bytes, '\0');
  const ssize_t n = ::pread(file.fd.get(), head.data(), head.size(), 0);
  if (n < 0) {
    const int error = errno;
    throw Error(MVM_ERR_INVALID, subject + ": " + std::generic_category().message(error));
  }
  head.resize(static_cast<size_t>(n));
  return head;
}

}  // namespace mvm

#endif  // MVM_SPEC_CHECK_HPP
