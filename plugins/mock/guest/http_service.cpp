// SPDX-License-Identifier: Apache-2.0
#include "http_service.hpp"

namespace mvm::mock {
namespace {

constexpr size_t max_head_bytes = 16 * 1024;

std::string response(std::string_view status, std::string_view type, std::string_view body, bool with_body) {
  std::string text = "HTTP/1.1 " + std::string(status) + "\r\nServer: mvm-mock\r\nContent-Type: " + std::string(type) +
                     "\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n";
  if (with_body) text += body;
  return text;
}

bool is_http_1(std::string_view line) { return line.ends_with(" HTTP/1.0") || line.ends_with(" HTTP/1.1"); }

}  // namespace

void HttpService::on_bytes(std::string_view bytes) {
  head_ += bytes;
  const size_t end = head_.find("\r\n\r\n");
  if (end != std::string::npos) {
    respond(std::string_view(head_).substr(0, head_.find("\r\n")));
  } else if (head_.size() > max_head_bytes) {
    respond({});
  }
}

void HttpService::respond(std::string_view request_line) {
  const bool get = request_line.starts_with("GET ");
  const bool head = request_line.starts_with("HEAD ");
  if (!is_http_1(request_line)) {
    send(response("400 Bad Request", "text/plain", "not HTTP/1.0 or 1.1\n", true));
  } else if (!get && !head) {
    send(response("405 Method Not Allowed", "text/plain", "GET or HEAD\n", true));
  } else {
    send(response("200 OK", "text/html; charset=utf-8", page_, get));
  }
  finish();
}

}  // namespace mvm::mock
