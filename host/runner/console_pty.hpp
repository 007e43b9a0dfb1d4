// SPDX-License-Identifier: Apache-2.0
// A terminal device that is the VM's console, for screen, minicom or socat: what the guest prints comes out of it, what
// is typed into it goes to the guest. Lives on the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

class ConsolePty : public std::enable_shared_from_this<ConsolePty> {
 public:
  using OnTyped = std::function<void(std::string_view bytes)>;

  // Raw, mode 0600, this user's. on_typed: on the loop, until close.
  static Result<std::shared_ptr<ConsolePty>> open(boost::asio::io_context& loop, OnTyped on_typed);

  const std::string& path() const noexcept { return path_; }  // "/dev/pts/5"

  // What nobody reads fills the terminal's buffer, a few kilobytes; what comes after that is dropped.
  void print(std::string_view bytes) noexcept;

  void close();

 private:
  ConsolePty(boost::asio::io_context& loop, UniqueFd master, UniqueFd terminal, std::string path, OnTyped on_typed);
  void wait();
  bool read_some();

  boost::asio::posix::stream_descriptor master_;
  // Held open: a terminal that nobody has open tells its master so at every turn (EIO), and forgets its settings.
  UniqueFd terminal_;
  std::string path_;
  OnTyped on_typed_;
};

}  // namespace mvm::host
