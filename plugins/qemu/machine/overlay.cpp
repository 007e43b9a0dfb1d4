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
#include "qcow2_header.hpp"

namespace mvm::qemu {
namespace {

[[noreturn]] void give_up(const std::string& path, const char* what) {
  throw Error(MVM_ERR_INTERNAL, "disk " + path + ": " + what + ": " + std::strerror(errno));
}

struct OpenImage {
  UniqueFd fd;
  uint64_t size_bytes;
};

OpenImage open_image(const std::string& path, int flags) {
  OpenImage image{UniqueFd(::open(path.c_str(), flags | O_NONBLOCK | O_CLOEXEC)), 0};
  struct stat info {};
  if (!image.fd || ::fstat(image.fd.get(), &info) != 0) give_up(path, "cannot be opened");
  image.size_bytes = static_cast<uint64_t>(info.st_size);
  return image;
}

uint64_t disk_bytes(const v1::Disk& disk) {
  constexpr uint64_t sector_bytes = 512;
  const OpenImage base = open_image(disk.base(), O_RDONLY);
  if (disk.format() != v1::DISK_FORMAT_QCOW2) {
    return (base.size_bytes + sector_bytes - 1) / sector_bytes * sector_bytes;  // as QEMU reads a raw image
  }
  std::string head(qcow2_head_bytes, '\0');
  if (::pread(base.fd.get(), head.data(), head.size(), 0) < 0) give_up(disk.base(), "cannot be read");
  return qcow2_disk_bytes(head);
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
  const OpenImage overlay = open_image(disk.path(), O_RDWR);
  if (overlay.size_bytes > 0) return;
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
