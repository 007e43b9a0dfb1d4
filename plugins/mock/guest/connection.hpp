// SPDX-License-Identifier: Apache-2.0
// The guest's end of a byte stream, on the loop's thread. Holds no buffer while idle, reads nothing while its own bytes
// wait to be taken (backpressure), and never waits for anybody.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "socket_pair.hpp"

namespace mvm::mock {

class Closable {
 public:
  virtual ~Closable() = default;
  virtual void close() noexcept = 0;  // idempotent; the loop's thread
  virtual void wake() = 0;            // goes on after the connections were held
};

// Keeps what is open alive, and ends it all at once.
class Connections {
 public:
  using Scratch = std::array<char, 64 * 1024>;

  void add(std::shared_ptr<Closable> connection);
  void remove(const Closable* connection) noexcept;
  void close_all() noexcept;

  // While held, nothing is read and nothing is sent: a paused guest. Closing still works.
  void hold() noexcept { held_ = true; }
  void let_go();
  bool held() const noexcept { return held_; }

  // Where whoever reads reads to; its content lasts until the handler returns.
  Scratch& scratch() noexcept { return *scratch_; }

 private:
  std::unordered_map<const Closable*, std::shared_ptr<Closable>> open_;
  bool held_ = false;
  std::unique_ptr<Scratch> scratch_{new Scratch};
};

class Connection : public Closable, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Connections& connections, Socket socket);

  void start();
  void close() noexcept override;
  void wake() override { arm(); }

 protected:
  virtual void on_bytes(std::string_view bytes) = 0;
  // The peer sends no more; everything of ours has gone out before.
  virtual void on_eof() { close(); }
  // Whether produce has something to send now. Nothing is read meanwhile.
  virtual bool producing() const { return false; }
  virtual void produce() {}
  virtual size_t read_limit() const { return Connections::Scratch{}.size(); }

  void send(std::string_view bytes);
  // As much as goes without waiting; 0 when none does. Closes on failure.
  size_t send_now(std::string_view bytes);

  void finish();           // when all is sent: SHUT_WR, and what still comes is dropped until the peer ends too
  void close_when_sent();  // when all is sent: close
  void pause() { paused_ = true; }
  void resume();

  bool closed() const noexcept { return closed_; }
  boost::asio::any_io_executor executor() { return socket_.get_executor(); }
  Connections& connections() noexcept { return connections_; }
  UniqueFd release();  // takes the socket out: the connection is over, the stream is not

 private:
  enum class Ending { no, finish, close };

  void arm();
  void wait(bool write);
  void ready(bool write);
  bool writes_next() const { return !outbox_.empty() || producing(); }
  bool settle_ending();
  void on_writable();
  void on_readable();

  Connections& connections_;
  Socket socket_;
  std::string outbox_;
  Ending ending_ = Ending::no;
  bool shut_ = false;
  bool paused_ = false;
  bool waiting_to_read_ = false;
  bool waiting_to_write_ = false;
  bool closed_ = false;
};

}  // namespace mvm::mock
