// SPDX-License-Identifier: Apache-2.0
#include "qemu_process.hpp"

#include <utility>

#include <signal.h>

#include "command_line.hpp"
#include "socket_pair.hpp"

namespace mvm::qemu {
namespace {

std::string in_words(const QemuVersion& v) { return std::to_string(v.major) + "." + std::to_string(v.minor); }

}  // namespace

QemuProcess::QemuProcess(boost::asio::io_context& loop, std::string program, Listener listener, Patience patience)
    : loop_(loop), listener_(std::move(listener)), patience_(patience), deadline_(loop) {
  end_.program = std::move(program);
}

QemuProcess::~QemuProcess() {
  if (qmp_) qmp_->close();
}

std::shared_ptr<QemuProcess> QemuProcess::start(boost::asio::io_context& loop, std::vector<std::string> arguments,
                                                std::vector<std::pair<int, int>> descriptors, Listener listener,
                                                Patience patience) {
  SocketPair qmp = make_socket_pair();
  descriptors.emplace_back(qmp.theirs.get(), qmp_descriptor);
  std::shared_ptr<QemuProcess> process(new QemuProcess(loop, arguments.front(), std::move(listener), patience));
  process->child_ = ChildProcess::start(loop, {std::move(arguments), std::move(descriptors), {}});
  process->begin(std::move(qmp.ours));
  return process;
}

void QemuProcess::begin(UniqueFd qmp) {
  const std::weak_ptr<QemuProcess> weak = weak_from_this();
  child_->on_exit([weak](ExitStatus status) {
    if (const auto self = weak.lock()) self->exited(status);
  });
  qmp_ = QmpClient::start(loop_, std::move(qmp),
                          {[weak](const QemuVersion& version) {
                             if (const auto self = weak.lock()) self->greeted(version);
                           },
                           [weak](const QmpEvent& event) {
                             if (const auto self = weak.lock()) self->take_event(event);
                           },
                           [weak](bool broken, const std::string& why) {
                             if (const auto self = weak.lock()) self->connection_lost(broken, why);
                           }});
  kill_after(patience_.greeting,
             "did not answer over its control connection within " +
                 std::to_string(std::chrono::duration_cast<std::chrono::seconds>(patience_.greeting).count()) + " s");
}

void QemuProcess::kill_after(Delay delay, const std::string& fault) {
  deadline_.expires_after(delay);
  deadline_.async_wait([weak = weak_from_this(), fault](const boost::system::error_code& cancelled) {
    const auto self = weak.lock();
    if (!cancelled && self && !self->gone_) self->kill(fault);
  });
}

void QemuProcess::greeted(const QemuVersion& version) {
  if (version < oldest)
    return kill("is version " + in_words(version) + "; this takes " + in_words(oldest) + " or newer");
  if (quitting_) return;
  deadline_.cancel();
  listener_.ready();
}

void QemuProcess::take_event(const QmpEvent& event) {
  if (event.name == "SHUTDOWN") end_.shutdown_reason = event.data.value("reason", "");
  if (event.name == "GUEST_PANICKED") end_.panicked = true;
  listener_.event(event);
}

// A QEMU that ends closes it a little before it is gone.
void QemuProcess::connection_lost(bool broken, const std::string& why) {
  if (broken) return kill(why);
  if (!quitting_) kill_after(patience_.quit, why);
}

void QemuProcess::execute(const std::string& command, nlohmann::json arguments, QmpClient::OnReply on_reply,
                          UniqueFd attached) {
  qmp_->execute(command, std::move(arguments), std::move(on_reply), std::move(attached));
}

void QemuProcess::quit() {
  if (gone_ || std::exchange(quitting_, true)) return;
  execute("quit", nlohmann::json::object(), [](const QmpReply&) {});
  kill_after(patience_.quit, "");
}

void QemuProcess::kill(const std::string& fault) {
  if (gone_) return;
  if (end_.fault.empty()) end_.fault = fault;
  child_->kill(SIGKILL);
}

void QemuProcess::exited(ExitStatus status) {
  const auto self = shared_from_this();
  gone_ = true;
  deadline_.cancel();
  qmp_->drain();
  qmp_->close();
  end_.status = status;
  end_.output = child_->last_output();
  const auto gone = std::move(listener_.gone);
  gone(end_);
}

}  // namespace mvm::qemu
