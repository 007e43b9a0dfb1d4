// SPDX-License-Identifier: Apache-2.0
#include "runner/base_image.hpp"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include <sys/stat.h>

#include "base/file.hpp"
#include "base/time.hpp"

namespace mvm::host {

Result<void> check_base(pb::VmRecord& record, const RootfsPlan& rootfs) {
  if (rootfs.base.empty()) {
    record.clear_overlay_base();
    return {};
  }
  struct stat now {};
  if (::stat(rootfs.base.c_str(), &now) != 0) {
    return fail(ErrorKind::invalid, "{}: {}", rootfs.base.string(), errno_words(errno));
  }
  if (!S_ISREG(now.st_mode)) {
    return fail(ErrorKind::invalid,
                "{}: is no image file, and what an overlay lies over must show whether it has changed: use "
                "--rootfs-mode clone",
                rootfs.base.string());
  }
  // Whatever else makes an image another one (its inode, say) differs also after it was moved or restored.
  auto& known = *record.mutable_overlay_base();
  const auto size_bytes = static_cast<uint64_t>(now.st_size);
  const bool changed = known.size_bytes() != size_bytes || known.mtime_ns() != modified_ns(now);
  if (changed && known.size_bytes() != 0 && !rootfs.is_new) {
    return fail(ErrorKind::failed,
                "{}: has changed since {} began to write over it ({} bytes of {}, now {} of {}): put the old image "
                "back, or begin anew with --fresh, which discards what the VM wrote",
                rootfs.base.string(), record.name(), known.size_bytes(), rfc3339(known.mtime_ns()), size_bytes,
                rfc3339(modified_ns(now)));
  }
  known.set_size_bytes(size_bytes);
  known.set_mtime_ns(modified_ns(now));
  return {};
}

Result<void> check_writes_no_base(const pb::VmRecord& record, const VmStore& store) {
  std::vector<std::filesystem::path> written;
  if (record.spec().rootfs_mode() == "direct" && !record.spec().rootfs().empty()) {
    written.emplace_back(record.spec().rootfs());
  }
  for (const auto& disk : record.spec().disks()) {
    if (!disk.read_only()) written.emplace_back(disk.path());
  }
  if (written.empty()) return {};
  MVM_TRY(const VmList vms, store.list());
  std::error_code error;
  for (const pb::VmSummary& vm : vms) {
    if (vm.base().empty() || vm.name() == record.name()) continue;
    for (const auto& image : written) {
      if (!std::filesystem::equivalent(image, vm.base(), error)) continue;
      return fail(
          ErrorKind::failed,
          "{}: the overlay of {} lies over it, and would be lost if it were written: use --rootfs-mode clone or "
          "overlay, a copy of the image, or rm {} first",
          image.string(), vm.name(), vm.name());
    }
  }
  return {};
}

}  // namespace mvm::host
