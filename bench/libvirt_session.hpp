// SPDX-License-Identifier: Apache-2.0
// libvirt's own daemon for one user (qemu:///session), with one domain, "bench".
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mvm::bench {

class LibvirtSession {
 public:
  // Whether virsh, its daemon and its driver for QEMU are here.
  static bool available();

  // Defines the domain; the daemon runs from then on. Root has no session of its own in libvirt: then it is nobody's.
  LibvirtSession(const std::filesystem::path& kernel, const std::filesystem::path& initrd);
  LibvirtSession(const LibvirtSession&) = delete;
  LibvirtSession& operator=(const LibvirtSession&) = delete;
  ~LibvirtSession();

  // A virsh that does this: commands of its own, separated by ';'.
  std::vector<std::string> virsh(const std::string& commands) const;

 private:
  std::filesystem::path directory_ = "/tmp/mvm-libvirt-XXXXXX";
};

}  // namespace mvm::bench
