// SPDX-License-Identifier: Apache-2.0
// A child that never outlives us: the kernel kills it when the plugin's process dies, however that dies.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>

#include <sys/types.h>

#include "exit_status.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

// Command::prepare failed: it is this system, and not the program.
class PreparationError : public Error {
  using Error::Error;
};

// Everything here happens on the loop's thread, the destructor included; that may also run when the loop's thread has
// ended for good.
class ChildProcess {
 public:
  // The child has a session of its own, the working directory /, no signal blocked or ignored, and this environment:
  // PATH, LANG=C, and HOME and TMPDIR as they are here. /dev/null is its 0; 1 and 2 go to last_output().
  struct Command {
    std::vector<std::string> arguments;  // [0]: the program's absolute path

    // (ours, number in the child): ours stay ours, numbers are 3 or more and differ. The child has no others.
    std::vector<std::pair<int, int>> descriptors;

    // May be empty. Runs in the child before exec, with the child's descriptors: async-signal-safe calls only. Anything
    // but 0 is an errno and fails start(), whose message then ends with what was written to descriptor 2 here. It stays
    // in this user's power to be killed: it must not become another user.
    std::function<int()> prepare;
  };

  // Returns when the program runs. Throws mvm::Error (PreparationError) that starts with the program's path. Call it on
  // the loop's own thread, and let that live as long as the child shall: the kernel's signal comes when the *thread*
  // that forked ends. SIGCHLD is left alone; the child's end is learnt from a pidfd (Linux 5.9 or newer).
  static std::unique_ptr<ChildProcess> start(boost::asio::io_context& loop, const Command& command);

  // Kills the child's process group and waits for the child, if it still runs. A function given to on_exit is not
  // called any more.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const noexcept;

  // Calls fn once, from the loop, when the child has ended and its output was read; also if that was long ago. fn may
  // destroy this. What else is left of the child's process group has been killed by then.
  void on_exit(std::function<void(ExitStatus)> fn);

  // To the child alone, not to its group. Nothing happens when it has ended.
  void kill(int signal) noexcept;

  // The end of what the child wrote to 1 and 2, without the last newline: 20 lines and 4 KiB at most. Its words may be
  // a guest's: what is neither printable ASCII nor a newline is a '?'.
  std::string last_output() const;

 private:
  class Watch;
  explicit ChildProcess(std::shared_ptr<Watch> watch);

  std::shared_ptr<Watch> watch_;  // shared with the loop's handlers, which may run once more after it is closed
};

}  // namespace mvm::qemu
