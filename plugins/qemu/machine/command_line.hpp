// SPDX-License-Identifier: Apache-2.0
// A VmSpec as QEMU's arguments. Pure: everything about the host comes as facts.
#pragma once

#include <string>
#include <vector>

#include "architecture.hpp"
#include "limits.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace mvm::qemu {

enum class Accelerator { kvm, tcg };

constexpr const char* name_of(Accelerator a) { return a == Accelerator::kvm ? "kvm" : "tcg"; }

struct LaunchFacts {
  Architecture architecture = host_architecture();
  Accelerator accelerator = Accelerator::tcg;
  std::string program;
  std::vector<bool> block_devices;  // which of the spec's disks are host devices; those beyond its end are files
  bool console = true;              // whether console_descriptor is there
};

// Descriptors in QEMU's process.
constexpr int qmp_descriptor = 3;
constexpr int vsock_descriptor = 4;
constexpr int console_descriptor = 5;

// QEMU then waits for `cont`: what the VM is booted with can still be plugged in.
std::vector<std::string> command_line(const v1::VmSpec& spec, const LaunchFacts& facts);

// A machine that does nothing but try whether this kernel runs: no disk, no initramfs, so that it panics and, by
// panic=-1, ends QEMU. Its console is on console_descriptor.
std::vector<std::string> trial_command_line(const std::string& kernel, const LaunchFacts& facts);

// The bus of the n-th reserved port, from 0 to max_shares - 1.
std::string share_port(size_t n);

}  // namespace mvm::qemu
