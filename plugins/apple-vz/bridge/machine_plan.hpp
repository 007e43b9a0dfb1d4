// SPDX-License-Identifier: Apache-2.0
// What a virtual machine is to be, in standard types.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mvm::apple_vz {

// VZDiskImageCachingMode and VZDiskImageSynchronizationMode, by name.
enum class Caching { automatic, uncached, cached };
enum class Synchronization { full, fsync, none };

struct DiskPlan {
  std::string path;
  bool read_only = false;
  // Not the framework's own choice, which is automatic: that corrupts the file systems of Linux guests (UTM#4840,
  // lima#1957, vfkit#76). fsync: F_FULLFSYNC for each flush of the guest's is slow (lima#1268), and is to be had.
  Caching caching = Caching::cached;
  Synchronization synchronization = Synchronization::fsync;
};

struct Directory {
  std::string tag;
  std::string path;
  bool read_only = true;
};

struct MachinePlan {
  std::string kernel;
  std::string initrd;  // empty: none
  std::string cmdline;
  uint32_t cpus = 1;
  uint64_t memory_bytes = 0;
  std::vector<DiskPlan> disks;
  std::vector<Directory> directories;  // a device each
  std::string live_tag;                // of the device whose directories come and go while the guest runs
  std::string mac;                     // "52:54:00:12:34:56"; empty: no network
  std::string machine_identifier;      // as new_machine_identifier gave it; empty: none
  int console = -1;                    // borrowed, both ways; -1: none
  bool nested = false;
  std::string rosetta_tag;  // empty: no Rosetta
};

}  // namespace mvm::apple_vz
