// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.hpp"

#include "support/catch.hpp"

using namespace mvm::host;

TEST_CASE("UTF-8 is told from what only looks like it") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("plain, \xc3\xa4, \xe2\x82\xac, \xf0\x9f\x90\xa7"));
  for (const std::string& text : std::initializer_list<std::string>{"\xff", "\xc3", "\xc0\x80", "\xe0\x80\x80",
                                                                    "\xed\xa0\x80", "\xf4\x90\x80\x80", "a\x80z"}) {
    CHECK_FALSE(is_utf8(text));
    CHECK(is_utf8(as_utf8(text)));
  }
  CHECK(as_utf8("a\xff\xc3\xa4\xc3") == "a?\xc3\xa4?");
}
