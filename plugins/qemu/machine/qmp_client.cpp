// SPDX-License-Identifier: Apache-2.0
#include "qmp_client.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <sys/uio.h>

namespace mvm::qemu {
namespace {

using nlohmann::json;

const json& member(const json& object, const char* name) {
  static const json none;
  const auto found = object.find(name);
  return found == object.end() ? none : *found;
}

std::string text_of(const json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }
int number_of(const json& value) { return value.is_number_integer() ? value.get<int>() : 0; }

QmpReply failed(std::string why) { return {false, false, {}, std::move(why)}; }
QmpReply lost() { return {false, true, {}, "QEMU is gone"}; }

}  // namespace

QmpClient::QmpClient(boost::asio::io_context& loop, Listener listener)
    : socket_(loop), listener_(std::move(listener)) {}

std::shared_ptr<QmpClient> QmpClient::start(boost::asio::io_context& loop, UniqueFd fd, Listener listener) {
  std::shared_ptr<QmpClient> client(new QmpClient(loop, std::move(listener)));
  boost::system::error_code error;
  client->socket_.assign(boost::asio::local::stream_protocol(), fd.get(), error);
  if (error) throw Error(MVM_ERR_INTERNAL, "qmp: cannot watch the connection: " + error.message());
  fd.release();
  client->socket_.native_non_blocking(true, error);
  if (error) throw Error(MVM_ERR_INTERNAL, "qmp: cannot watch the connection: " + error.message());
  client->watch();
  return client;
}

// ---- from QEMU

void QmpClient::watch() {
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
    if (error || self->closed_) return;
    if (self->receive()) self->watch();
  });
}

void QmpClient::drain() {
  const auto self = shared_from_this();
  if (!closed_) receive();
}

// Reads what is there. False when the connection has ended.
bool QmpClient::receive() {
  std::array<char, 16384> piece;
  while (!closed_) {
    const ssize_t n = ::recv(socket_.native_handle(), piece.data(), piece.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
    if (n <= 0) {
      end(false, "closed its control connection (QMP)");
    } else {
      inbox_.append(piece.data(), static_cast<size_t>(n));
      if (!take_lines()) end(true, "sent something over its control connection that is not QMP");
    }
  }
  return false;
}

// False when there is something that is no QMP.
bool QmpClient::take_lines() {
  size_t begin = 0;
  try {
    for (size_t end = 0; !closed_ && (end = inbox_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      take_line(std::string_view(inbox_).substr(begin, end - begin));
    }
  } catch (const json::exception&) {
    return false;
  }
  inbox_.erase(0, begin);
  return inbox_.size() <= max_message_bytes;
}

void QmpClient::take_line(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) return;
  const json message = json::parse(line.begin(), line.end());
  if (!message.is_object()) throw json::other_error::create(600, "not an object", nullptr);
  if (message.contains("QMP")) return greeted(message["QMP"]);
  if (message.contains("event")) {
    const json& data = member(message, "data");
    return listener_.event({text_of(message["event"]), data.is_object() ? data : json::object()});
  }
  take_reply(message);
}

void QmpClient::greeted(const json& greeting) {
  if (std::exchange(greeted_, true)) return;
  const json& version = member(member(greeting, "version"), "qemu");
  const QemuVersion qemu{number_of(member(version, "major")), number_of(member(version, "minor"))};
  execute("qmp_capabilities", json::object(), [this, qemu](const QmpReply& reply) {
    if (closed_) return;
    if (!reply.ok) return end(true, "refused to negotiate over its control connection: " + reply.error);
    listener_.ready(qemu);
  });
}

void QmpClient::take_reply(const json& message) {
  const json& id = member(message, "id");
  if (!id.is_number_unsigned()) return;
  const auto found = open_.find(id.get<uint64_t>());
  if (found == open_.end()) return;
  const OnReply on_reply = std::move(found->second);
  open_.erase(found);
  const auto self = shared_from_this();
  if (message.contains("return")) return on_reply({true, false, message["return"], {}});
  const std::string words = text_of(member(member(message, "error"), "desc"));
  on_reply(failed(words.empty() ? "QEMU gave no reason" : words));
}

// ---- to QEMU

void QmpClient::execute(const std::string& command, json arguments, OnReply on_reply, UniqueFd attached) {
  if (closed_) return on_reply(lost());
  const uint64_t id = ++last_id_;
  json message{{"execute", command}, {"id", id}};
  if (!arguments.empty()) message["arguments"] = std::move(arguments);
  // Names of files may be any bytes; QEMU takes UTF-8 only.
  outbox_.push_back({message.dump(-1, ' ', false, json::error_handler_t::replace) + "\n", std::move(attached)});
  open_.emplace(id, std::move(on_reply));
  if (!sending_) send_some();
}

void QmpClient::send_some() {
  sending_ = false;
  while (!closed_ && !outbox_.empty()) {
    const ssize_t n = send_first();
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return;  // gone: receive() tells
    if (n < 0) break;
    outbox_.front().attached.reset();
    outbox_.front().bytes.erase(0, static_cast<size_t>(n));
    if (outbox_.front().bytes.empty()) outbox_.pop_front();
  }
  if (closed_ || outbox_.empty()) return;
  sending_ = true;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const boost::system::error_code& error) {
    if (!error) self->send_some();
  });
}

ssize_t QmpClient::send_first() {
  Outgoing& first = outbox_.front();
  iovec bytes{first.bytes.data(), first.bytes.size()};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  if (first.attached) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = first.attached.get();
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  return ::sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL);
}

// ---- the end

void QmpClient::end(bool broken, const std::string& why) {
  if (closed_) return;
  const auto closed = std::move(listener_.closed);
  close();
  if (closed) closed(broken, why);
}

void QmpClient::close() noexcept {
  if (std::exchange(closed_, true)) return;
  boost::system::error_code ignored;
  socket_.close(ignored);
  outbox_.clear();
  for (const auto& [id, on_reply] : std::exchange(open_, {})) on_reply(lost());
}

}  // namespace mvm::qemu
