// SPDX-License-Identifier: Apache-2.0
// One QEMU: the child process and the control connection to it, from start to the end of both. Lives on the loop's
// thread.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "process/child_process.hpp"
#include "qemu_end.hpp"
#include "qmp_client.hpp"

namespace mvm::qemu {

class QemuProcess final : public std::enable_shared_from_this<QemuProcess> {
 public:
  using Delay = std::chrono::milliseconds;

  struct Patience {
    Delay greeting;  // until it answers over QMP
    Delay quit;      // between asking it to quit, or it closing QMP, and SIGKILL
  };
  static constexpr Patience usual_patience{Delay(60'000), Delay(5'000)};

  struct Listener {
    std::function<void()> ready;                       // it answers over QMP
    std::function<void(const QmpEvent& event)> event;  // SHUTDOWN and GUEST_PANICKED are remembered besides
    std::function<void(const QemuEnd& end)> gone;      // once, last: the process was waited for
  };

  // The oldest QEMU that understands our command line.
  static constexpr QemuVersion oldest{6, 2};

  // descriptors: ours and QEMU's number, besides QMP's. Throws mvm::Error: the program cannot be started.
  static std::shared_ptr<QemuProcess> start(boost::asio::io_context& loop, std::vector<std::string> arguments,
                                            std::vector<std::pair<int, int>> descriptors, Listener listener,
                                            Patience patience);
  ~QemuProcess();

  pid_t pid() const noexcept { return child_->pid(); }

  // As QmpClient's.
  void execute(const std::string& command, nlohmann::json arguments, QmpClient::OnReply on_reply,
               UniqueFd attached = UniqueFd());

  // Asks it to quit, kills it if it does not. Once.
  void quit();
  // SIGKILL; `fault` becomes QemuEnd's.
  void kill(const std::string& fault);

 private:
  QemuProcess(boost::asio::io_context& loop, std::string program, Listener listener, Patience patience);
  void begin(UniqueFd qmp);
  void greeted(const QemuVersion& version);
  void take_event(const QmpEvent& event);
  void connection_lost(bool broken, const std::string& why);
  void exited(ExitStatus status);
  void kill_after(Delay delay, const std::string& fault);

  boost::asio::io_context& loop_;
  Listener listener_;
  const Patience patience_;
  boost::asio::steady_timer deadline_;
  std::unique_ptr<ChildProcess> child_;
  std::shared_ptr<QmpClient> qmp_;
  QemuEnd end_;
  bool quitting_ = false;
  bool gone_ = false;
};

}  // namespace mvm::qemu
