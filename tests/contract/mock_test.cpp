// SPDX-License-Identifier: Apache-2.0
// What the mock's guest has beyond what is asked of every plugin (plugins/mock/README.md).
#include "check/machine.hpp"
#include "check/stream.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::host::check;
using namespace mvm::test;

TEST_CASE("a published web page can be fetched", "[contract][vsock]") {
  Machine m(MVM_MOCK);
  m.start();
  const UniqueFd fd = m.open_stream(10080);
  write_all(fd.get(), "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string page = read_to_end(fd.get());
  CHECK_THAT(page, StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(page, ContainsSubstring("Connection: close\r\n"));
  CHECK_THAT(page, ContainsSubstring("Hello from the mock guest demo."));
  const UniqueFd bad = m.open_stream(10080);
  write_all(bad.get(), "nonsense\r\n\r\n");
  CHECK_THAT(read_to_end(bad.get()), StartsWith("HTTP/1.1 400 "));
}

TEST_CASE("the agent answers Ping with Pong, and anything else with an error", "[contract][vsock]") {
  Machine m(MVM_MOCK);
  m.start();
  const UniqueFd fd = m.open_stream(5252);
  using std::string_literals::operator""s;
  write_all(fd.get(), "\0\0\0\6\"Ping\""s);
  CHECK(read_exactly(fd.get(), 10) == "\0\0\0\6\"Pong\""s);
  write_all(fd.get(), "\0\0\0\2{}"s);
  const std::string head = read_exactly(fd.get(), 4);
  CHECK_THAT(read_exactly(fd.get(), static_cast<unsigned char>(head[3])), StartsWith("{\"Error\":"));
  write_all(fd.get(), "\0\4\0\1"s);  // one byte over 256 KiB
  CHECK_THAT(read_to_end(fd.get()).substr(4), StartsWith("{\"Error\":"));
}
