// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "base/result.hpp"
#include "store/vm_name.hpp"
#include "store/vm_paths.hpp"

namespace mvm::host {

// Makes the directory for a VM's sockets, mode 0700, ours: BASE/<16 hex digits of home and name>. BASE is
// $MVM_RUNTIME_DIR, else $XDG_RUNTIME_DIR/mvm, else /tmp/mvm-UID; the last also where the path would be too long for
// "vsock.sock_4294967295" in a sockaddr_un (104 bytes on macOS, 108 on Linux). Errors (failed): not to be made, not
// ours, too long.
Result<VmSockets> make_socket_dir(const std::filesystem::path& home, const VmName& name);

// Where that is, whether it exists or not.
Result<VmSockets> socket_dir_place(const std::filesystem::path& home, const VmName& name);

}  // namespace mvm::host
