// SPDX-License-Identifier: Apache-2.0
#include "runner/console_log.hpp"

#include <chrono>
#include <string>
#include <thread>

#include <sys/socket.h>
#include <unistd.h>

#include "support/catch.hpp"
#include "unit/base/temp_dir.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds deadline{20};

// A console with a guest at its other end.
struct Console {
  Console() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    guest = UniqueFd(ends[0]);
    log->drain(UniqueFd(ends[1]));
  }

  // Runs the loop until so many bytes are in the log; how many handlers that took.
  size_t run_until(size_t bytes) {
    const auto end = Clock::now() + deadline;
    size_t handlers = 0;
    while (slurp(path).size() < bytes && Clock::now() < end) handlers += loop.run_one_until(end);
    return handlers;
  }

  TempDir dir;
  const std::filesystem::path path = dir / "console.log";
  boost::asio::io_context loop;
  std::shared_ptr<ConsoleLog> log = *ConsoleLog::create(loop, path);
  UniqueFd guest;
};

void say(const UniqueFd& guest, const std::string& text) {
  for (const char c : text) (void)!::write(guest.get(), &c, 1);  // what is missing then is missed
}

std::string lines(int count) {
  std::string text;
  for (int n = 0; n < count; ++n) text += "line " + std::to_string(n) + "\n";
  return text;
}

}  // namespace

TEST_CASE("a console that is written byte by byte is kept whole, and does not wake the runner for each byte") {
  Console console;
  const std::string text = lines(1000);
  const auto begin = Clock::now();
  std::thread guest([&] { say(console.guest, text); });
  const size_t handlers = console.run_until(text.size());
  guest.join();
  const auto half_milliseconds = (Clock::now() - begin) / std::chrono::microseconds(500);
  CHECK(slurp(console.path) == text);
  CHECK(handlers <= 2 * static_cast<size_t>(half_milliseconds) + 4);  // each time the socket and the timer
}

TEST_CASE("a console that says something, then nothing, then something, loses none of it") {
  Console console;
  say(console.guest, "one\n");
  console.run_until(4);
  console.loop.run_one();  // the rest is over
  say(console.guest, "two\n");
  console.run_until(8);
  CHECK(slurp(console.path) == "one\ntwo\n");
}

TEST_CASE("what a guest says last is kept though it goes at once, and nothing of the console stays on the loop") {
  Console console;
  say(console.guest, "the last words\n");
  console.guest.reset();
  console.loop.run_until(Clock::now() + deadline);
  CHECK(console.loop.stopped());  // nothing to wait for
  CHECK(slurp(console.path) == "the last words\n");
  CHECK(console.log->last_words() == "the last words");
}

TEST_CASE("what came while the console was left alone for a moment is there when the runner ends") {
  Console console;
  say(console.guest, "one\n");
  console.run_until(4);
  say(console.guest, "two\n");
  console.log->drain_now();
  CHECK(slurp(console.path) == "one\ntwo\n");
}
