// SPDX-License-Identifier: Apache-2.0
// The guest's sight of its shares, for tests to look through. The line protocol is in README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "connection.hpp"
#include "shares.hpp"

namespace mvm::mock {

class ShareService final : public Connection {
 public:
  ShareService(Connections& connections, Socket socket, const Shares& shares)
      : Connection(connections, std::move(socket)), shares_(shares) {}

 private:
  // A WRITE under way. What follows a refused one is skipped, so that the next line is found.
  struct Upload {
    uint64_t missing = 0;
    uint64_t size = 0;
    std::optional<NewFile> file;
    std::string refusal;
  };

  void on_bytes(std::string_view bytes) override;
  bool producing() const override;
  void produce() override;

  void take_line();
  void run(std::string_view line);
  void list_shares();
  void list_dir(std::string_view arguments);
  void begin_read(std::string_view arguments);
  void begin_write(std::string_view arguments);
  void send_file_piece();
  size_t take_upload(std::string_view bytes);
  void end_upload();
  void fail(std::string_view reason);

  const Shares& shares_;
  std::string inbox_;
  UniqueFd file_;  // a READ under way
  uint64_t file_left_ = 0;
  std::optional<Upload> upload_;
};

}  // namespace mvm::mock
