// SPDX-License-Identifier: Apache-2.0
// A connection that the guest opened to the host by itself: sends one text, prints the answer.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "connection.hpp"

namespace mvm::mock {

class GuestCallConnection final : public Connection {
 public:
  using OnAnswer = std::function<void(std::string_view answer)>;

  GuestCallConnection(Connections& connections, Socket socket, OnAnswer on_answer)
      : Connection(connections, std::move(socket)), on_answer_(std::move(on_answer)) {}

  void say(std::string_view text) { send(text); }

 private:
  static constexpr size_t max_answer_bytes = 4096;

  void on_bytes(std::string_view bytes) override {
    answer_ += bytes.substr(0, std::min(bytes.size(), max_answer_bytes - answer_.size()));
  }
  void on_eof() override {
    on_answer_(answer_);
    close();
  }

  OnAnswer on_answer_;
  std::string answer_;
};

}  // namespace mvm::mock
