// SPDX-License-Identifier: Apache-2.0
// Keeps what the guest writes to its console, in console.log and, once that is full, console.log.1, and shows it on a
// pty where one is wanted.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"
#include "runner/console_pty.hpp"

namespace mvm::host {

class ConsoleLog : public std::enable_shared_from_this<ConsoleLog> {
 public:
  static constexpr uint64_t max_file_bytes = 8 * 1024 * 1024;

  // Begins an empty log at `path`; that of the boot before becomes path.1.
  static Result<std::shared_ptr<ConsoleLog>> create(boost::asio::io_context& loop, const std::filesystem::path& path);

  // Opens the pty. Its path is pty_path(), empty before.
  Result<void> open_pty();
  std::string pty_path() const { return pty_ ? pty_->path() : std::string(); }
  void close_pty();

  // Reads `fd` until its end and appends. A full disk loses console output, not the VM: it is still drained. What is
  // typed on the pty goes to `fd`, as far as it takes it.
  void drain(UniqueFd fd);

  // What has arrived but was not read yet. For the end of a runner.
  void drain_now();

  // What the guest said last, for an error: the line in which a Linux kernel panicked and the two before it, else the
  // last three that say something; joined by " | ".
  std::string last_words() const;
  // Whether a Linux kernel has said that it panics.
  bool tells_of_panic() const;

 private:
  struct Source;
  enum class Read { some, much, end };  // much: there may be more already
  ConsoleLog(boost::asio::io_context& loop, std::filesystem::path path, UniqueFd file)
      : loop_(loop), path_(std::move(path)), file_(std::move(file)) {}
  void wait(const std::shared_ptr<Source>& source);
  void rest(const std::shared_ptr<Source>& source);
  Read read_some(Source& source);
  void append(std::string_view bytes);
  void keep_tail(std::string_view bytes);
  void type(std::string_view bytes);
  void rotate();

  boost::asio::io_context& loop_;
  std::filesystem::path path_;
  UniqueFd file_;
  uint64_t size_ = 0;
  bool complained_ = false;
  std::weak_ptr<Source> source_;
  std::string tail_;  // the last bytes of it
  std::shared_ptr<ConsolePty> pty_;
};

}  // namespace mvm::host
