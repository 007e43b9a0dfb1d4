// SPDX-License-Identifier: Apache-2.0
// The classic small services: echo, discard, chargen.
#pragma once

#include <cstdint>

#include <boost/asio/steady_timer.hpp>

#include "connection.hpp"

namespace mvm::mock {

class EchoService final : public Connection {
 public:
  using Connection::Connection;

 private:
  void on_bytes(std::string_view bytes) override { send(bytes); }
};

// Echoes no faster than it was told to.
class SlowEchoService final : public Connection {
 public:
  SlowEchoService(Connections& connections, Socket socket, uint64_t bytes_per_s);
  void close() noexcept override;

 private:
  void on_bytes(std::string_view bytes) override;
  size_t read_limit() const override;

  uint64_t bytes_per_s_;
  boost::asio::steady_timer timer_;
};

class DiscardService final : public Connection {
 public:
  using Connection::Connection;

 private:
  void on_bytes(std::string_view) override {}
};

// RFC 864's pattern, for as long as somebody takes it.
class PatternService final : public Connection {
 public:
  using Connection::Connection;

 private:
  void on_bytes(std::string_view) override {}
  bool producing() const override { return true; }
  void produce() override;

  size_t offset_ = 0;
};

}  // namespace mvm::mock
