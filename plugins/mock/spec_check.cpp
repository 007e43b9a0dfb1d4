// SPDX-License-Identifier: Apache-2.0
#include "spec_check.hpp"

#include <string>
#include <utility>

#include <fcntl.h>

#include "guest/options.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "mvm/features.h"
#include "mvm/hypervisor.hpp"
#include "mvm/spec_check.hpp"

namespace mvm::mock {
namespace {

constexpr uint32_t max_cpus = 64;
constexpr uint64_t min_memory_bytes = uint64_t{16} << 20;
constexpr uint64_t max_memory_bytes = uint64_t{1} << 40;

void check_files(const v1::VmSpec& spec) {
  if (spec.kernel().empty()) throw Error(MVM_ERR_INVALID, "kernel: none was given");
  open_file("kernel " + spec.kernel(), spec.kernel(), O_RDONLY);
  if (!spec.initrd().empty()) open_file("initrd " + spec.initrd(), spec.initrd(), O_RDONLY);
  for (const v1::Disk& disk : spec.disks()) {
    open_file("disk " + disk.path(), disk.path(), disk.read_only() ? O_RDONLY : O_RDWR);
    if (!disk.base().empty()) open_file("disk " + disk.base(), disk.base(), O_RDONLY);
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
  check_features(spec.required_features(), "the mock", {MVM_FEATURE_DISK_OVERLAY});
  check_vm_name(spec.name());
  if (spec.cpus() < 1 || spec.cpus() > max_cpus) {
    throw Error(MVM_ERR_INVALID, "cpus: " + std::to_string(spec.cpus()) + " is not 1 to " + std::to_string(max_cpus));
  }
  if (spec.memory_bytes() < min_memory_bytes || spec.memory_bytes() > max_memory_bytes) {
    throw Error(MVM_ERR_INVALID, "memory: " + std::to_string(spec.memory_bytes()) + " bytes are not 16 MiB to 1 TiB");
  }
  check_files(spec);
}

}  // namespace mvm::mock
