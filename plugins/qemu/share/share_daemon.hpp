// SPDX-License-Identifier: Apache-2.0
// One virtiofsd for one share. Its life:
//
//   start ── on_ready(front end) ──▶ QEMU has the front end ── the device or QEMU goes ──▶ on_exit
//     └────────────────────── it cannot serve ─────────────────────────────────────────▶ on_exit
//
// For QEMU: send the front end with getfd, name it in chardev-add, the chardev in device_add of vhost-user-fs-pci. The
// guest's memory has to be shared (memory-backend-memfd, share=on). When the device is deleted, chardev-remove closes
// the connection, upon which the daemon ends by itself.
//
// What a guest may do: it has the directory and what was mounted below it when it was shared, and nothing else of the
// host. Where this process is root, a guest's users act as the host's users of the same number, and its root as root:
// it may own and create files as anybody, set-user-ID ones too, but no device nodes. So let nobody whom the guest
// should not speak for reach the directory on the host. Otherwise a guest's root acts as this user, and its other users
// can read what their number may and create nothing.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "mvm/hypervisor.hpp"
#include "process/child_process.hpp"
#include "share/sharing_support.hpp"
#include "share/vhost_user_socket.hpp"

namespace mvm::qemu {

struct ShareSpec {
  std::string tag;   // 1 to 35 bytes
  std::string path;  // absolute, and resolved: no part of it is a symbolic link
  bool read_only = true;
  std::string state_dir;  // absolute, exists, this user's alone; not within the share
};

// Everything happens on the loop's thread, which ChildProcess::start binds to the daemon's life.
class ShareDaemon {
 public:
  // Throws mvm::Error about the share: MVM_ERR_UNSUPPORTED with support.reason, MVM_ERR_INVALID for a tag or a path
  // that cannot be one, MVM_ERR_NOT_FOUND and MVM_ERR_DENIED for a directory that is not there or closed to this user.
  // A daemon that is not ready in time is killed, and on_exit says so: some 50 ms are usual, so the default is passed
  // only on a machine that does nothing any more.
  static std::unique_ptr<ShareDaemon> start(boost::asio::io_context& loop, const SharingSupport& support,
                                            const ShareSpec& spec,
                                            std::chrono::milliseconds ready_timeout = std::chrono::seconds(10));

  // Kills the daemon, if it still runs, and waits for it. Nothing is called any more.
  ~ShareDaemon();
  ShareDaemon(const ShareDaemon&) = delete;
  ShareDaemon& operator=(const ShareDaemon&) = delete;

  // Called once, from the loop, with a connected vhost-user socket for QEMU, when the daemon has its sandbox and
  // answers. Set it right after start.
  void on_ready(std::function<void(UniqueFd front_end)> fn);

  // Called once, from the loop, when the daemon has ended: before it was ready, or of itself, or because QEMU closed
  // the connection. message says how, about the share, with the daemon's last words. fn may destroy this.
  void on_exit(std::function<void(ExitStatus status, const std::string& message)> fn);

  pid_t pid() const noexcept { return child_->pid(); }

 private:
  ShareDaemon(boost::asio::io_context& loop, std::string subject, std::unique_ptr<ChildProcess> child);

  void greet(UniqueFd front_end, std::chrono::milliseconds timeout);

  void answered(UniqueFd front_end);
  void give_up();
  std::string describe(ExitStatus status) const;

  std::string subject_;
  boost::asio::io_context& loop_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<VhostUserGreeting> greeting_;  // until it is answered
  boost::asio::steady_timer deadline_;           // for that
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  bool late_ = false;
  std::function<void(UniqueFd)> ready_;
};

}  // namespace mvm::qemu
