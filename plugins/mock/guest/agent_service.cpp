// SPDX-License-Identifier: Apache-2.0
#include "agent_service.hpp"

#include <array>

namespace mvm::mock {
namespace {

constexpr size_t header_bytes = 4;

uint32_t read_length(std::string_view bytes) {
  uint32_t length = 0;
  for (size_t i = 0; i < header_bytes; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
  return length;
}

std::string frame(std::string_view json) {
  std::string framed;
  for (int shift = 24; shift >= 0; shift -= 8) framed += static_cast<char>(json.size() >> shift & 0xff);
  return framed.append(json);
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const size_t first = text.find_first_not_of(blank);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}  // namespace

void AgentService::on_bytes(std::string_view bytes) {
  inbox_ += bytes;
  while (take_frame()) {
  }
  if (inbox_.empty()) inbox_ = {};  // gives the memory back
}

bool AgentService::take_frame() {
  if (inbox_.size() < header_bytes) return false;
  const uint32_t length = read_length(inbox_);
  if (length > max_frame_bytes) {
    inbox_.clear();
    send(frame(R"({"Error":"frame over 262144 bytes"})"));
    finish();  // where the next frame would begin is anybody's guess
    return false;
  }
  if (inbox_.size() < header_bytes + length) return false;
  answer(std::string_view(inbox_).substr(header_bytes, length));
  inbox_.erase(0, header_bytes + length);
  return true;
}

void AgentService::answer(std::string_view json) {
  send(frame(trimmed(json) == R"("Ping")" ? R"("Pong")" : R"({"Error":"the mock's agent knows \"Ping\" only"})"));
}

}  // namespace mvm::mock
