// SPDX-License-Identifier: Apache-2.0
// Tells when a file or a directory changes, by the kernel's events: inotify, and vnode sources of Grand Central
// Dispatch.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"

namespace mvm::host {

// Event loop: one thread, this one. As long as it lives, the loop has something to wait for.
class FileWatch {
 public:
  // changed: on the loop, after one or more changes to `file`, or when it was replaced; at times for nothing. Errors
  // (failed) name the file.
  static Result<std::unique_ptr<FileWatch>> watch(boost::asio::io_context& loop, const std::filesystem::path& file,
                                                  std::function<void()> changed);
  // changed: on the loop, after names came into `directory` or left it; at times for nothing. It may destroy the watch.
  // Errors (failed) name the directory.
  static Result<std::unique_ptr<FileWatch>> watch_directory(boost::asio::io_context& loop,
                                                            const std::filesystem::path& directory,
                                                            std::function<void()> changed);
  virtual ~FileWatch() = default;  // changed is not called any more
};

}  // namespace mvm::host
