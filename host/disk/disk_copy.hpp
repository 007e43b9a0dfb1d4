// SPDX-License-Identifier: Apache-2.0
// Copies of disk images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "base/result.hpp"

namespace mvm::host {

enum class CopyMethod { clone, extents };  // shared blocks (reflink, clonefile); data extents only

struct CopyReport {
  CopyMethod method = CopyMethod::extents;
  uint64_t size_bytes = 0;    // of the image
  uint64_t copied_bytes = 0;  // moved; 0 for a clone
};

// done, total: bytes of data. Called from the copying thread, at most 20 times a second and at the end.
using CopyProgress = std::function<void(uint64_t done_bytes, uint64_t total_bytes)>;

// Makes `to` a copy of `from`: mode 0600, durable (fsync) when it returns. By clone where the file system can, else
// data extents only, so that holes stay holes. `to` appears complete or not at all: the copy is made beside it as
// `<to>.partial` and renamed. A `.partial` that an earlier, killed copy left is replaced. On an error nothing of ours
// stays. `from` is never written. An existing `to` is replaced only if `replace`; else the error is `failed`.
// Errors: `from` missing, not a regular file, unreadable (invalid); no space, no permission (failed), by name.
Result<CopyReport> copy_disk(const std::filesystem::path& from, const std::filesystem::path& to, bool replace,
                             const CopyProgress& progress);

}  // namespace mvm::host
