// SPDX-License-Identifier: Apache-2.0
#include "store/vm_name.hpp"

#include "support/catch.hpp"

using mvm::host::ErrorKind;
using mvm::host::VmName;

TEST_CASE("a VM name of 1 to 63 lower-case letters, digits and dashes is taken") {
  for (const std::string& name :
       std::initializer_list<std::string>{"a", "0", "demo", "web-1", "a-", std::string(63, 'x')}) {
    CAPTURE(name);
    const auto parsed = VmName::parse(name);
    REQUIRE(parsed);
    CHECK(parsed->str() == name);
  }
}

TEST_CASE("a VM name that could leave the state directory, or is anything else, is refused") {
  for (const std::string& name : std::initializer_list<std::string>{
           "", ".", "..", "../x", "a/b", "/etc", "a b", "Demo", "-a", "a_b", "a.b", "\xc3\xa4", std::string(64, 'x')}) {
    CAPTURE(name);
    const auto parsed = VmName::parse(name);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().kind == ErrorKind::invalid);
  }
  CHECK_FALSE(VmName::parse(std::string_view("a\0b", 3)));
}

TEST_CASE("the error for a VM name shows it without its control characters, and says what is allowed") {
  CHECK(VmName::parse("a\033[2J").error().message ==
        "VM name \"a?[2J\": use 1 to 63 of a-z, 0-9 and '-', beginning with a letter or digit");
  CHECK(VmName::parse(std::string(64, 'x')).error().message.find("(64 characters)") != std::string::npos);
}
