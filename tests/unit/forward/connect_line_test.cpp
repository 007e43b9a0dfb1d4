// SPDX-License-Identifier: Apache-2.0
#include "forward/connect_line.hpp"

#include <string>

#include "support/catch.hpp"

using namespace mvm::host;
using State = ConnectLine::State;

TEST_CASE("CONNECT and a port make a complete line, and what follows is not part of it") {
  const ConnectLine line = parse_connect_line("CONNECT 5252\nhello\n");
  CHECK(line.state == State::complete);
  CHECK(line.port == 5252);
  CHECK(line.size_bytes == 13);
}

TEST_CASE("a line is read as Firecracker reads it") {
  CHECK(parse_connect_line("connect 52\n").port == 52);
  CHECK(parse_connect_line("CONNECT 52\r\n").port == 52);
  CHECK(parse_connect_line("  CONNECT \t 52 \n").port == 52);
  CHECK(parse_connect_line("CONNECT 4294967294\n").port == 4294967294U);
}

TEST_CASE("a line without its end is incomplete up to 32 bytes and refused from there") {
  CHECK(parse_connect_line("").state == State::incomplete);
  CHECK(parse_connect_line("CONNECT 5252").state == State::incomplete);
  CHECK(parse_connect_line(std::string(31, 'x')).state == State::incomplete);
  CHECK(parse_connect_line(std::string(32, 'x')).state == State::refused);
  CHECK(parse_connect_line("CONNECT 5252                   \n").state == State::complete);
  CHECK(parse_connect_line("CONNECT 5252                    \n").state == State::refused);
}

TEST_CASE("anything but CONNECT and one port is refused") {
  for (const std::string text :
       {"\n", "GET / HTTP/1.1\r\n", "CONNECT\n", "CONNECT 0\n", "CONNECT 4294967295\n", "CONNECT 4294967296\n",
        "CONNECT -1\n", "CONNECT +1\n", "CONNECT 1x\n", "CONNECT 1 2\n", "CONNECTED 1\n", "CONNECT 0x10\n"}) {
    INFO(text);
    CHECK(parse_connect_line(text).state == State::refused);
    CHECK(parse_connect_line(text).port == 0);
  }
  CHECK(parse_connect_line(std::string("CONN\0CT 1\n", 10)).state == State::refused);
}
