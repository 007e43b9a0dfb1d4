// SPDX-License-Identifier: Apache-2.0
// Joins two streams: bytes and half-close both ways, each direction at its own reader's speed.
#pragma once

#include <memory>
#include <string>

#include "connection.hpp"

namespace mvm::mock {

class Relay final : public Closable, public std::enable_shared_from_this<Relay> {
 public:
  // already_read: what came from a and goes to b before everything else.
  Relay(Connections& connections, Socket a, Socket b, std::string already_read);

  void start();
  void close() noexcept override;
  void wake() override;

 private:
  struct Direction {
    Socket& from;
    Socket& to;
    std::string held;  // read, not written yet
    bool ended = false;
    bool waiting = false;
  };

  void arm(Direction& direction);
  void read(Direction& direction);
  void write(Direction& direction, std::string_view bytes);
  void end(Direction& direction);

  Connections& connections_;
  Socket a_;
  Socket b_;
  Direction forth_;
  Direction back_;
  bool closed_ = false;
};

}  // namespace mvm::mock
