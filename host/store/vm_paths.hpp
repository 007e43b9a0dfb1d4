// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace mvm::host {

// The files of one VM. All are mode 0600 in a directory of mode 0700.
struct VmPaths {
  std::filesystem::path directory;

  std::filesystem::path record() const { return directory / "record.json"; }
  std::filesystem::path lock() const { return directory / "lock"; }
  std::filesystem::path console_log() const { return directory / "console.log"; }
  std::filesystem::path runner_log() const { return directory / "runner.log"; }
  std::filesystem::path rootfs() const { return directory / "rootfs.img"; }
  std::filesystem::path overlay() const { return directory / "rootfs.overlay"; }  // in the plugin's own format
  std::filesystem::path crash_note() const { return directory / "crash-note"; }
  std::filesystem::path plugin_state() const { return directory / "plugin"; }
};

// Where the sockets are: a short directory of their own (socket_dir.hpp).
struct VmSockets {
  std::filesystem::path directory;

  std::filesystem::path control() const { return directory / "control.sock"; }
  std::filesystem::path vsock() const { return directory / "vsock.sock"; }
};

}  // namespace mvm::host
