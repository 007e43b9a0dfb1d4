// SPDX-License-Identifier: Apache-2.0
#include "describe.hpp"

#include <utility>

#include "architecture.hpp"
#include "bridge/host_system.hpp"
#include "mvm/ext/guest_connect.h"
#include "mvm/ext/pause.h"
#include "mvm/ext/unshare_dir.h"
#include "options.hpp"

namespace mvm::apple_vz {

v1::HypervisorInfo describe() {
  const Limits limits = framework_limits();
  v1::HypervisorInfo info;
  info.add_kernel_formats(host_architecture() == Architecture::arm64 ? v1::KERNEL_FORMAT_ARM64_IMAGE
                                                                     : v1::KERNEL_FORMAT_BZIMAGE);
  info.set_max_cpus(limits.max_cpus);
  info.set_min_memory_bytes(limits.min_memory_bytes);
  info.set_max_memory_bytes(limits.max_memory_bytes);
  info.add_disk_formats(v1::DISK_FORMAT_RAW);
  info.set_vsock(true);
  info.set_share_dir_at_boot(true);
  info.set_share_dir_while_running(true);
  info.add_extensions(MVM_EXT_UNSHARE_DIR);
  info.add_extensions(MVM_EXT_PAUSE);
  info.add_extensions(MVM_EXT_GUEST_CONNECT);
  for (v1::OptionInfo& option : describe_options()) *info.add_options() = std::move(option);
  info.set_graceful_stop(true);
  info.set_console_device("hvc0");
  info.set_console_input(true);
  if (!virtualization_is_supported()) {
    info.add_shortfalls(
        "no VM can be booted: this Mac, or the virtual machine that it is, has no virtualization "
        "(VZVirtualMachine.isSupported)");
  }
  return info;
}

}  // namespace mvm::apple_vz
