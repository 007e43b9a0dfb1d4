// SPDX-License-Identifier: Apache-2.0
#include "json_member.hpp"

#include <charconv>
#include <cstdint>

namespace mvm::client {
namespace {

void append_utf8(std::string& out, uint32_t c) {
  const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xc0 | (c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out += static_cast<char>(0xe0 | (c >> 12));
    tail(6), tail(0);
  } else {
    out += static_cast<char>(0xf0 | (c >> 18));
    tail(12), tail(6), tail(0);
  }
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  // Past the blanks: takes this character, if it is the next.
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  char peek() {
    const size_t found = text_.find_first_not_of(" \t\r\n", at_);
    at_ = found == std::string_view::npos ? text_.size() : found;
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  std::optional<std::string> string() {
    if (!take('"')) return {};
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
      } else if (!escape(out)) {
        return {};
      }
    }
    return {};
  }

  // Any value's text.
  std::optional<std::string_view> value() {
    peek();
    const size_t begin = at_;
    size_t depth = 0;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (depth == 0 && at_ > begin && (c == ',' || c == '}' || c == ']')) break;
      if (c == '"') {
        if (!string()) return {};
        continue;
      }
      if (c == '{' || c == '[') ++depth;
      ++at_;
      if ((c == '}' || c == ']') && (depth == 0 || --depth == 0)) break;
    }
    std::string_view found = text_.substr(begin, at_ - begin);
    while (!found.empty() && std::string_view(" \t\r\n").find(found.back()) != std::string_view::npos) {
      found.remove_suffix(1);
    }
    if (found.empty() || depth != 0) return {};
    return found;
  }

 private:
  std::optional<uint32_t> four_digits() {
    if (text_.size() - at_ < 4) return {};
    uint32_t unit = 0;
    const char* begin = text_.data() + at_;
    if (std::from_chars(begin, begin + 4, unit, 16).ptr != begin + 4) return {};
    at_ += 4;
    return unit;
  }

  bool escape(std::string& out) {
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    if (at_ >= text_.size()) return false;
    const char c = text_[at_++];
    if (const size_t i = names.find(c); i != std::string_view::npos) {
      out += meanings[i];
      return true;
    }
    auto unit = c == 'u' ? four_digits() : std::nullopt;
    if (!unit) return false;
    if (*unit >= 0xd800 && *unit < 0xdc00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const auto low = four_digits();
      if (!low || *low < 0xdc00 || *low > 0xdfff) return false;
      unit = 0x10000 + ((*unit - 0xd800) << 10) + (*low - 0xdc00);
    }
    append_utf8(out, *unit);
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::optional<std::string> json_member(std::string_view text, std::string_view key) {
  Scanner scan(text);
  if (!scan.take('{')) return {};
  do {
    const auto name = scan.string();
    if (!name || !scan.take(':')) return {};
    if (*name == key && scan.peek() == '"') return scan.string();
    const auto value = scan.value();
    if (!value) return {};
    if (*name == key) return std::string(*value);
  } while (scan.take(','));
  return {};
}

}  // namespace mvm::client
