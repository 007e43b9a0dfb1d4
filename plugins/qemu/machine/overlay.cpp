// SPDX-License-Identifier: Apache-2.0
#include "overlay.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mvm/hypervisor.hpp"
#include "mvm/spec_check.hpp"
#include "qcow2_header.hpp"

namespace mvm::qemu {
namespace {

[[noreturn]] void give_up(const std::string& path, const char* what) {
  throw Error(MVM_ERR_INTERNAL, "disk " + path + ": " + what + ": " + std::strerror(errno));
}

OpenFile open_image(const std::string& path, int flags) { return open_file("disk " + path, path, flags); }

uint64_t bytes_in(const OpenFile& image) { return static_cast<uint64_t>(image.info.st_size); }

uint64_t disk_bytes(const v1::Disk& disk) {
  constexpr uint64_t sector_bytes = 512;
  const OpenFile base = open_image(disk.base(), O_RDONLY);
  if (disk.format() != v1::DISK_FORMAT_QCOW2) {
    return (bytes_in(base) + sector_bytes - 1) / sector_bytes * sector_bytes;  // as QEMU reads a raw image
  }
  return qcow2_disk_bytes(read_head("disk " + disk.base(), base, qcow2_head_bytes));
}

// Blocks of zeros are left out.
void write_sparse(const std::string& path, int fd, std::string_view image) {
  constexpr size_t block_bytes = 4096;
  if (::ftruncate(fd, static_cast<off_t>(image.size())) != 0) give_up(path, "cannot be made");
  for (size_t at = 0; at < image.size(); at += block_bytes) {
    const std::string_view block = image.substr(at, block_bytes);
    if (std::all_of(block.begin(), block.end(), [](char c) { return c == 0; })) continue;
    if (::pwrite(fd, block.data(), block.size(), static_cast<off_t>(at)) != static_cast<ssize_t>(block.size())) {
      give_up(path, "cannot be written");
    }
  }
  if (::fsync(fd) != 0) give_up(path, "cannot be written");
}

void make_overlay(const v1::Disk& disk) {
  const OpenFile overlay = open_image(disk.path(), O_RDWR);
  if (bytes_in(overlay) > 0) return;
  const bool base_is_qcow2 = disk.format() == v1::DISK_FORMAT_QCOW2;
  try {
    write_sparse(disk.path(), overlay.fd.get(), empty_qcow2(disk_bytes(disk), disk.base(), base_is_qcow2));
  } catch (...) {
    // Empty, or it would be taken for one that is whole.
    (void)::ftruncate(overlay.fd.get(), 0);
    throw;
  }
}

}  // namespace

void make_overlays(const v1::VmSpec& spec) {
  for (const v1::Disk& disk : spec.disks()) {
    if (!disk.base().empty()) make_overlay(disk);
  }
}

}  // namespace mvm::qemu
