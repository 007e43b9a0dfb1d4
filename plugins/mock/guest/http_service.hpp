// SPDX-License-Identifier: Apache-2.0
// A web server of one page, so that a published port can be looked at with curl.
#pragma once

#include <string>
#include <utility>

#include "connection.hpp"

namespace mvm::mock {

class HttpService final : public Connection {
 public:
  HttpService(Connections& connections, Socket socket, std::string page)
      : Connection(connections, std::move(socket)), page_(std::move(page)) {}

 private:
  void on_bytes(std::string_view bytes) override;
  void respond(std::string_view request_line);

  std::string page_;
  std::string head_;  // of the request, as far as it has come
};

}  // namespace mvm::mock
