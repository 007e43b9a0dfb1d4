// SPDX-License-Identifier: Apache-2.0
#include "spec_check.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel_file.hpp"
#include "limits.hpp"
#include "mvm/features.h"
#include "mvm/hypervisor.hpp"
#include "mvm/spec_check.hpp"
#include "qcow2_header.hpp"

namespace mvm::qemu {
namespace {

std::string in_mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

void check_sizes(const v1::VmSpec& spec) {
  if (spec.cpus() < 1 || spec.cpus() > max_cpus) {
    throw Error(MVM_ERR_INVALID, "cpus: " + std::to_string(spec.cpus()) + " is not 1 to " + std::to_string(max_cpus));
  }
  const uint64_t most = max_memory_bytes();
  if (spec.memory_bytes() < min_memory_bytes || spec.memory_bytes() > most) {
    throw Error(MVM_ERR_INVALID, "memory: " + std::to_string(spec.memory_bytes()) + " bytes are not " +
                                     in_mib(min_memory_bytes) + " to " + in_mib(most) + ", which this host has");
  }
}

void check_kernel(const v1::VmSpec& spec, Architecture host) {
  if (spec.kernel().empty()) throw Error(MVM_ERR_INVALID, "kernel: none was given");
  const std::string subject = "kernel " + spec.kernel();
  const OpenFile file = open_regular_file(subject, spec.kernel());
  check_kernel_head(spec.kernel(), read_head(subject, file, kernel_head_bytes), host);
}

void check_disk(const v1::Disk& disk, bool backing_files) {
  const std::string subject = "disk " + disk.path();
  const OpenFile file = open_file(subject, disk.path(), disk.read_only() ? O_RDONLY : O_RDWR);
  if (S_ISREG(file.info.st_mode)) {
    if (file.info.st_size == 0) throw Error(MVM_ERR_INVALID, subject + ": is empty");
  } else if (!S_ISBLK(file.info.st_mode)) {
    throw Error(MVM_ERR_INVALID, subject + ": is neither a regular file nor a block device");
  }
  if (disk.format() == v1::DISK_FORMAT_QCOW2) {
    check_qcow2_head(disk.path(), read_head(subject, file, qcow2_head_bytes), backing_files);
  }
}

// What is below is read only; what is above is this plugin's own, and may still be empty.
void check_overlay(const v1::Disk& disk, bool backing_files) {
  v1::Disk base;
  base.set_path(disk.base());
  base.set_read_only(true);
  base.set_format(disk.format());
  check_disk(base, backing_files);
  const std::string subject = "disk " + disk.path();
  if (disk.read_only()) throw Error(MVM_ERR_INVALID, subject + ": is an overlay, which cannot be read-only");
  const OpenFile file = open_file(subject, disk.path(), O_RDWR);
  if (!S_ISREG(file.info.st_mode)) throw Error(MVM_ERR_INVALID, subject + ": is not a regular file");
  if (file.info.st_size > 0) check_qcow2_head(disk.path(), read_head(subject, file, qcow2_head_bytes), true);
}

void check_disks(const v1::VmSpec& spec, bool backing_files) {
  if (spec.disks_size() > max_disks) {
    throw Error(MVM_ERR_INVALID,
                "disks: " + std::to_string(spec.disks_size()) + " are more than " + std::to_string(max_disks));
  }
  for (const v1::Disk& disk : spec.disks()) {
    disk.base().empty() ? check_disk(disk, backing_files) : check_overlay(disk, backing_files);
  }
}

void check_shares(const v1::VmSpec& spec) {
  if (static_cast<size_t>(spec.shares_size()) > max_shares) {
    throw Error(MVM_ERR_INVALID,
                "shares: " + std::to_string(spec.shares_size()) + " are more than " + std::to_string(max_shares));
  }
  std::set<std::string> tags;
  for (const v1::Share& share : spec.shares()) {
    check_share_tag(share.tag());
    if (!tags.insert(share.tag()).second) {
      throw Error(MVM_ERR_BUSY, "share " + share.tag() + ": this tag is in use");
    }
  }
}

// Six pairs of hexadecimal digits; the first byte even, or it would be a group's address.
void check_mac(const v1::Network& network) {
  const std::string& mac = network.mac();
  if (!network.enabled() || mac.empty()) return;
  const auto hex = [](char c) { return std::string_view("0123456789abcdefABCDEF").find(c) != std::string_view::npos; };
  bool ok = mac.size() == 17;
  for (size_t i = 0; ok && i < mac.size(); ++i) ok = i % 3 == 2 ? mac[i] == ':' : hex(mac[i]);
  if (ok) ok = std::string_view("02468aceACE").find(mac[1]) != std::string_view::npos;
  if (!ok)
    throw Error(MVM_ERR_INVALID, "network: mac \"" + mac + "\" is not a card's address, such as 52:54:00:12:34:56");
}

}  // namespace

uint64_t max_memory_bytes() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return uint64_t{1} << 40;
  return std::max(min_memory_bytes, static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes));
}

void check_share_tag(const std::string& tag) {
  if (tag.empty() || tag.size() > max_share_tag_bytes || tag.find('\0') != std::string::npos) {
    throw Error(MVM_ERR_INVALID, "share \"" + tag + "\": a tag has 1 to 35 bytes");
  }
}

void check_spec(const v1::VmSpec& spec, bool backing_files, Architecture host) {
  check_features(spec.required_features(), "the qemu plugin", {MVM_FEATURE_DISK_OVERLAY});
  check_vm_name(spec.name());
  check_sizes(spec);
  check_kernel(spec, host);
  if (!spec.initrd().empty()) open_regular_file("initrd " + spec.initrd(), spec.initrd());
  check_disks(spec, backing_files);
  check_shares(spec);
  check_mac(spec.network());
}

std::vector<bool> block_devices(const v1::VmSpec& spec) {
  std::vector<bool> all;
  for (const v1::Disk& disk : spec.disks()) {
    struct stat info {};
    all.push_back(::stat(disk.path().c_str(), &info) == 0 && S_ISBLK(info.st_mode));
  }
  return all;
}

}  // namespace mvm::qemu
