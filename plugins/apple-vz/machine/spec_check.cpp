// SPDX-License-Identifier: Apache-2.0
#include "spec_check.hpp"

#include <cerrno>
#include <cstring>
#include <set>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>

#include "kernel_file.hpp"
#include "mvm/hypervisor.hpp"
#include "mvm/spec_check.hpp"
#include "network/dhcp_leases.hpp"

namespace mvm::apple_vz {
namespace {

constexpr size_t max_tag_bytes = 35;  // VZVirtioFileSystemDeviceConfiguration.validateTag
constexpr uint64_t mib = uint64_t{1} << 20;
constexpr off_t sector_bytes = 512;

std::string in_mib(uint64_t bytes) { return std::to_string(bytes / mib) + " MiB"; }

void check_sizes(const v1::VmSpec& spec, const Limits& limits) {
  if (spec.cpus() < limits.min_cpus || spec.cpus() > limits.max_cpus) {
    throw Error(MVM_ERR_INVALID, "cpus: " + std::to_string(spec.cpus()) + " is not " + std::to_string(limits.min_cpus) +
                                     " to " + std::to_string(limits.max_cpus) + ", which this Mac allows");
  }
  const uint64_t memory = spec.memory_bytes();
  if (memory < limits.min_memory_bytes || memory > limits.max_memory_bytes) {
    throw Error(MVM_ERR_INVALID, "memory: " + std::to_string(memory) + " bytes are not " +
                                     in_mib(limits.min_memory_bytes) + " to " + in_mib(limits.max_memory_bytes) +
                                     ", which this Mac allows");
  }
  if (memory % mib != 0) {
    throw Error(MVM_ERR_INVALID, "memory: " + std::to_string(memory) + " bytes are no multiple of 1 MiB; say " +
                                     in_mib(memory) + " or " + in_mib(memory + mib));
  }
}

void check_kernel(const v1::VmSpec& spec, Architecture host) {
  if (spec.kernel().empty()) throw Error(MVM_ERR_INVALID, "kernel: none was given");
  const std::string subject = "kernel " + spec.kernel();
  const OpenFile file = open_regular_file(subject, spec.kernel());
  check_kernel_head(spec.kernel(), read_head(subject, file, kernel_head_bytes), host);
}

OpenFile open_disk(const std::string& subject, const v1::Disk& disk) {
  if (disk.read_only()) return open_file(subject, disk.path(), O_RDONLY);
  // Before open(2), whose own words for a directory that is to be written are others.
  struct stat info {};
  if (::stat(disk.path().c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    throw Error(MVM_ERR_INVALID, subject + ": is a directory");
  }
  try {
    return open_file(subject, disk.path(), O_RDWR);
  } catch (const Error& e) {
    if (e.status() != MVM_ERR_DENIED) throw;
    throw Error(e.status(), std::string(e.what()) + "; say :ro where the guest only has to read it");
  }
}

void check_disk(const v1::Disk& disk) {
  const std::string subject = "disk " + disk.path();
  if (disk.format() == v1::DISK_FORMAT_QCOW2) {
    throw Error(MVM_ERR_UNSUPPORTED, subject +
                                         ": is qcow2, and Virtualization.framework takes raw images; convert it: "
                                         "qemu-img convert -O raw " +
                                         disk.path() + " disk.raw");
  }
  const OpenFile file = open_disk(subject, disk);
  if (!S_ISREG(file.info.st_mode)) {
    throw Error(MVM_ERR_INVALID, subject + ": is not an image file, which is what this plugin attaches");
  }
  if (file.info.st_size == 0) throw Error(MVM_ERR_INVALID, subject + ": is empty");
  if (file.info.st_size % sector_bytes != 0) {
    throw Error(MVM_ERR_INVALID, subject + ": its " + std::to_string(file.info.st_size) +
                                     " bytes are no multiple of 512; an image that was cut short?");
  }
}

void check_shares(const v1::VmSpec& spec) {
  std::set<std::string> tags;
  for (const v1::Share& share : spec.shares()) {
    check_share(share);
    if (!tags.insert(share.tag()).second) {
      throw Error(MVM_ERR_BUSY, "share " + share.tag() + ": this tag is in use");
    }
  }
}

// As people write it, and not a group's address.
void check_mac(const v1::Network& network) {
  const std::string& mac = network.mac();
  if (!network.enabled() || mac.empty()) return;
  const auto parsed = parse_mac(mac);
  if (!parsed || mac.size() != 17) {
    throw Error(MVM_ERR_INVALID, "network: mac \"" + mac + "\" is not a card's address, such as 52:54:00:12:34:56");
  }
  if (((*parsed)[0] & 1) != 0) {
    throw Error(MVM_ERR_INVALID, "network: mac " + mac + " is a group's address, not a card's");
  }
}

}  // namespace

void check_share(const v1::Share& share) {
  const std::string& tag = share.tag();
  const std::string subject = "share " + (tag.empty() ? "\"\"" : tag);
  if (tag.empty() || tag.size() > max_tag_bytes || tag.find('\0') != std::string::npos) {
    throw Error(MVM_ERR_INVALID, subject + ": a tag has 1 to " + std::to_string(max_tag_bytes) + " bytes");
  }
  if (tag == live_tag || tag == rosetta_tag) {
    throw Error(MVM_ERR_INVALID, subject + ": this tag is the hypervisor's own; choose another");
  }
  std::string why_not;
  if (!is_share_name(tag, why_not)) throw Error(MVM_ERR_INVALID, subject + ": " + why_not);
  if (!share.path().starts_with('/')) {
    throw Error(MVM_ERR_INVALID, subject + ": \"" + share.path() + "\" is not an absolute path");
  }
  struct stat info {};
  if (::stat(share.path().c_str(), &info) != 0) {
    const int error = errno;
    throw Error(status_of_errno(error), subject + ": " + share.path() + ": " + std::strerror(error));
  }
  if (!S_ISDIR(info.st_mode)) throw Error(MVM_ERR_INVALID, subject + ": " + share.path() + " is not a directory");
}

void check_spec(const v1::VmSpec& spec, const Limits& limits, Architecture host) {
  check_features(spec.required_features(), "apple-vz");
  check_vm_name(spec.name());
  check_sizes(spec, limits);
  check_kernel(spec, host);
  if (!spec.initrd().empty()) open_regular_file("initrd " + spec.initrd(), spec.initrd());
  for (const v1::Disk& disk : spec.disks()) check_disk(disk);
  check_shares(spec);
  check_mac(spec.network());
}

}  // namespace mvm::apple_vz
