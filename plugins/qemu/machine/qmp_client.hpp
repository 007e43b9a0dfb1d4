// SPDX-License-Identifier: Apache-2.0
// QMP, QEMU's control protocol, over a socket whose other end QEMU was started with. Lives on the loop's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <nlohmann/json.hpp>

#include "mvm/hypervisor.hpp"

namespace mvm::qemu {

struct QemuVersion {
  int major = 0;
  int minor = 0;

  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison with 0 that this stands for to be one
  auto operator<=>(const QemuVersion&) const = default;
};

struct QmpEvent {
  std::string name;
  nlohmann::json data;  // an object
};

struct QmpReply {
  bool ok = false;
  bool gone = false;     // there will be no answer: the connection has ended
  nlohmann::json value;  // on success
  std::string error;     // otherwise: QEMU's words, or why there are none
};

class QmpClient final : public std::enable_shared_from_this<QmpClient> {
 public:
  using OnReply = std::function<void(const QmpReply& reply)>;

  // Any of them may call close().
  struct Listener {
    std::function<void(const QemuVersion& version)> ready;  // greeted; commands may be sent from now on
    std::function<void(const QmpEvent& event)> event;
    // QEMU closed its end, or sent what is no QMP; `broken` tells the latter. Open commands have failed. Once, unless
    // close() was called before.
    std::function<void(bool broken, const std::string& why)> closed;
  };

  // QEMU's answers are small; a line beyond this is not one.
  static constexpr size_t max_message_bytes = size_t{1} << 20;

  // Takes the fd in any case. Throws mvm::Error.
  static std::shared_ptr<QmpClient> start(boost::asio::io_context& loop, UniqueFd fd, Listener listener);

  // on_reply is called once: with QEMU's answer, or with a failure when the connection ends, maybe before this returns.
  // attached goes along, for getfd.
  void execute(const std::string& command, nlohmann::json arguments, OnReply on_reply, UniqueFd attached = UniqueFd());

  // Takes in what QEMU has sent so far. For when QEMU is gone: its last words are there already.
  void drain();

  // Fails what is open. Of the listener, nothing is called any more.
  void close() noexcept;

 private:
  using Socket = boost::asio::local::stream_protocol::socket;

  struct Outgoing {
    std::string bytes;
    UniqueFd attached;  // goes with the first byte
  };

  QmpClient(boost::asio::io_context& loop, Listener listener);
  void watch();
  bool receive();
  bool take_lines();
  void take_line(std::string_view line);
  void greeted(const nlohmann::json& greeting);
  void take_reply(const nlohmann::json& message);
  void send_some();
  ssize_t send_first();
  void end(bool broken, const std::string& why);

  Socket socket_;
  Listener listener_;
  std::string inbox_;
  std::deque<Outgoing> outbox_;
  std::map<uint64_t, OnReply> open_;
  uint64_t last_id_ = 0;
  bool greeted_ = false;
  bool sending_ = false;
  bool closed_ = false;
};

}  // namespace mvm::qemu
