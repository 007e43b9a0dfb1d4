// SPDX-License-Identifier: Apache-2.0
// Tells when something in a directory was written or renamed. By the kernel's events: inotify, kqueue.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"

namespace mvm::host {

class FileWatch {
 public:
  // changed: on the loop, after one or more changes to `file`, or when it was replaced.
  static Result<std::unique_ptr<FileWatch>> watch(boost::asio::io_context& loop, const std::filesystem::path& file,
                                                  std::function<void()> changed);
  virtual ~FileWatch() = default;
};

}  // namespace mvm::host
