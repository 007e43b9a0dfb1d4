// SPDX-License-Identifier: Apache-2.0
#include "forward/connect_line.hpp"

#include <charconv>
#include <limits>

namespace mvm::host {
namespace {

constexpr std::string_view blanks = " \t\r";

// Takes the next word off `text`; empty: there is none.
std::string_view next_word(std::string_view& text) {
  const size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  const std::string_view word = text.substr(0, text.find_first_of(blanks));
  text.remove_prefix(word.size());
  return word;
}

bool is_connect(std::string_view word) {
  constexpr std::string_view wanted = "connect";
  if (word.size() != wanted.size()) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    const char c = word[i] >= 'A' && word[i] <= 'Z' ? static_cast<char>(word[i] - 'A' + 'a') : word[i];
    if (c != wanted[i]) return false;
  }
  return true;
}

bool to_port(std::string_view word, uint32_t& port) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
  return error == std::errc{} && end == word.data() + word.size() && port != 0 &&
         port != std::numeric_limits<uint32_t>::max();
}

}  // namespace

ConnectLine parse_connect_line(std::string_view received) {
  ConnectLine line;
  const size_t newline = received.substr(0, connect_line_max_bytes).find('\n');
  if (newline == std::string_view::npos) {
    if (received.size() >= connect_line_max_bytes) line.state = ConnectLine::State::refused;
    return line;
  }
  std::string_view text = received.substr(0, newline);
  const bool good = is_connect(next_word(text)) && to_port(next_word(text), line.port) && next_word(text).empty();
  line.state = good ? ConnectLine::State::complete : ConnectLine::State::refused;
  if (!good) line.port = 0;
  line.size_bytes = newline + 1;
  return line;
}

}  // namespace mvm::host
