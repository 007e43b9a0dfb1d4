// SPDX-License-Identifier: Apache-2.0
#include "spec_check.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

#include "guest/options.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "mvm/features.h"
#include "mvm/hypervisor.hpp"

namespace mvm::mock {
namespace {

constexpr uint32_t max_cpus = 64;
constexpr uint64_t min_memory_bytes = uint64_t{16} << 20;
constexpr uint64_t max_memory_bytes = uint64_t{1} << 40;
constexpr size_t max_name_bytes = 63;

void check_name(const std::string& name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  const bool ok = !name.empty() && name.size() <= max_name_bytes && plain(name[0]) &&
                  std::all_of(name.begin(), name.end(), [&](char c) { return plain(c) || c == '-'; });
  if (!ok) throw Error(MVM_ERR_INVALID, "vm \"" + name + "\": is not a name of the form [a-z0-9][a-z0-9-]{0,62}");
}

void check_features(const v1::VmSpec& spec) {
  for (const std::string& feature : spec.required_features()) {
    if (feature == MVM_FEATURE_DISK_OVERLAY) continue;
    throw Error(MVM_ERR_UNSUPPORTED, "feature \"" + feature + "\": required, and unknown to the mock (MVM-P12)");
  }
}

mvm_status status_of(int error) {
  if (error == ENOENT || error == ENOTDIR) return MVM_ERR_NOT_FOUND;
  return error == EACCES || error == EPERM || error == EROFS ? MVM_ERR_DENIED : MVM_ERR_INVALID;
}

void check_file(const std::string& what, const std::string& path, int flags) {
  // O_NONBLOCK: a FIFO must not hold the caller up.
  const UniqueFd file(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) {
    const int error = errno;
    throw Error(status_of(error), what + " " + path + ": " + std::strerror(error));
  }
  if (S_ISDIR(info.st_mode)) throw Error(MVM_ERR_INVALID, what + " " + path + ": is a directory");
}

void check_files(const v1::VmSpec& spec) {
  if (spec.kernel().empty()) throw Error(MVM_ERR_INVALID, "kernel: none was given");
  check_file("kernel", spec.kernel(), O_RDONLY);
  if (!spec.initrd().empty()) check_file("initrd", spec.initrd(), O_RDONLY);
  for (const v1::Disk& disk : spec.disks()) {
    check_file("disk", disk.path(), disk.read_only() ? O_RDONLY : O_RDWR);
    if (!disk.base().empty()) check_file("disk", disk.base(), O_RDONLY);
  }
}

}  // namespace

v1::HypervisorInfo describe() {
  v1::HypervisorInfo info;
  for (const auto format : {v1::KERNEL_FORMAT_BZIMAGE, v1::KERNEL_FORMAT_ELF, v1::KERNEL_FORMAT_ARM64_IMAGE}) {
    info.add_kernel_formats(format);
  }
  info.set_max_cpus(max_cpus);
  info.set_min_memory_bytes(min_memory_bytes);
  info.set_max_memory_bytes(max_memory_bytes);
  info.add_disk_formats(v1::DISK_FORMAT_RAW);
  info.add_disk_formats(v1::DISK_FORMAT_QCOW2);
  info.set_vsock(true);
  info.set_share_dir_at_boot(true);
  info.set_share_dir_while_running(true);
  info.set_guest_connect_any_port(true);
  info.add_features(MVM_FEATURE_DISK_OVERLAY);
  info.add_extensions(MVM_EXT_UNSHARE_DIR);
  info.add_extensions(MVM_EXT_PAUSE);
  info.add_extensions(MVM_EXT_GUEST_CONNECT);
  for (v1::OptionInfo& option : describe_options()) *info.add_options() = std::move(option);
  info.set_graceful_stop(true);
  info.set_console_input(true);
  return info;
}

void check_spec(const v1::VmSpec& spec) {
  check_features(spec);
  check_name(spec.name());
  if (spec.cpus() < 1 || spec.cpus() > max_cpus) {
    throw Error(MVM_ERR_INVALID, "cpus: " + std::to_string(spec.cpus()) + " is not 1 to " + std::to_string(max_cpus));
  }
  if (spec.memory_bytes() < min_memory_bytes || spec.memory_bytes() > max_memory_bytes) {
    throw Error(MVM_ERR_INVALID, "memory: " + std::to_string(spec.memory_bytes()) + " bytes are not 16 MiB to 1 TiB");
  }
  check_files(spec);
}

}  // namespace mvm::mock
