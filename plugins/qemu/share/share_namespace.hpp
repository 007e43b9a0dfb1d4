// SPDX-License-Identifier: Apache-2.0
// The mount namespace that a share's daemon starts in: what is served is mounted there, read-only where it was said, so
// that the kernel and not the daemon keeps a guest from writing.
#pragma once

#include <string>

namespace mvm::qemu {

enum class Privilege {
  root,            // files have the owners that the guest gives them
  user_namespace,  // the guest's root is this user, and its other users can create nothing
};

class ShareNamespace {
 public:
  explicit ShareNamespace(Privilege privilege);

  Privilege privilege() const noexcept { return privilege_; }

  // The rest runs in the child, before exec (ChildProcess::Command::prepare): async-signal-safe. 0, or an errno after
  // words on descriptor 2.

  // Leaves the namespaces of the host, and mounts the directory behind that descriptor, with all that is mounted in it
  // now, over `target`. The descriptor is closed: it led to the host's mounts. It is the very directory that was
  // opened, whatever has become of its path. Takes Linux 5.12.
  int enter(int directory, const char* target, bool read_only) const noexcept;

  // Does what the daemon's own sandbox will do, for a trial.
  static int try_sandbox() noexcept;

 private:
  int enter_user_namespace() const noexcept;

  Privilege privilege_;
  std::string uid_map_;
  std::string gid_map_;
};

// As many open files as a share may take, or as this user may have. The daemon holds one for each file that the guest's
// kernel remembers. Async-signal-safe.
int limit_open_files() noexcept;

}  // namespace mvm::qemu
