// SPDX-License-Identifier: Apache-2.0
#include "forward/guest_dialer.hpp"

#include <chrono>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit/base/temp_dir.hpp"
#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

namespace {

std::shared_ptr<LogPace> pace() { return std::make_shared<LogPace>(std::chrono::seconds(10)); }

}  // namespace

TEST_CASE("a guest that connects to a host port reaches the socket of that number") {
  const TempDir dir;
  const UniqueFd listener = unix_listener(dir / "vsock.sock_1024");
  LoopThread loop;
  SocketPair guest = unix_pair();
  // Called on this thread, not the loop's: as a plugin does.
  REQUIRE(dial_from_guest(loop.loop(), dir / "vsock.sock", 1024, guest.far, pace()));
  CHECK_FALSE(guest.far);
  UniqueFd host(::accept(listener.get(), nullptr, nullptr));
  REQUIRE(host);
  set_deadline(host.get());
  send_all(guest.near.get(), "from the guest");
  CHECK(receive(host.get(), 14) == "from the guest");
  ::shutdown(host.get(), SHUT_WR);
  CHECK(receive_to_end(guest.near.get()).empty());
}

TEST_CASE("a host port without a listener leaves the guest's connection alone") {
  const TempDir dir;
  LoopThread loop;
  SocketPair guest = unix_pair();
  SECTION("no socket") { CHECK_FALSE(dial_from_guest(loop.loop(), dir / "vsock.sock", 1024, guest.far, pace())); }
  SECTION("a socket that nobody listens on") {
    unix_listener(dir / "vsock.sock_1024").reset();
    CHECK_FALSE(dial_from_guest(loop.loop(), dir / "vsock.sock", 1024, guest.far, pace()));
  }
  SECTION("a file that is no socket") {
    dir.write("vsock.sock_1024", "");
    CHECK_FALSE(dial_from_guest(loop.loop(), dir / "vsock.sock", 1024, guest.far, pace()));
  }
  SECTION("a path too long") {
    CHECK_FALSE(dial_from_guest(loop.loop(), dir / std::string(120, 'd'), 1024, guest.far, pace()));
  }
  CHECK(guest.far);
  CHECK(::fcntl(guest.far.get(), F_GETFD) >= 0);
}

TEST_CASE("a guest does not get the last descriptors: it is refused, and the host can still open some") {
  const TempDir dir;
  const UniqueFd listener = unix_listener(dir / "vsock.sock_1024");
  LoopThread loop;
  SocketPair guest = unix_pair();
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  std::vector<UniqueFd> taken;
  taken.emplace_back(::dup(listener.get()));
  const int limit = 2 * taken.back().get() + 8;
  const rlimit few{static_cast<rlim_t>(limit), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  const int first_kept = limit - limit / 4;
  while (taken.back().get() + 1 < first_kept) taken.emplace_back(::dup(listener.get()));
  const bool refused = !dial_from_guest(loop.loop(), dir / "vsock.sock", 1024, guest.far, pace());
  const bool host_opens_one = static_cast<bool>(UniqueFd(::dup(listener.get())));
  taken.pop_back();
  const bool taken_again = dial_from_guest(loop.loop(), dir / "vsock.sock", 1024, guest.far, pace());
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(refused);
  CHECK(host_opens_one);
  CHECK(taken_again);
}

TEST_CASE("a connection dialled on a loop that never runs again is closed with the loop") {
  const TempDir dir;
  const UniqueFd listener = unix_listener(dir / "vsock.sock_5");
  SocketPair guest = unix_pair();
  {
    boost::asio::io_context loop(1);
    REQUIRE(dial_from_guest(loop, dir / "vsock.sock", 5, guest.far, pace()));
  }
  CHECK(how_it_ends(guest.near.get()) == 0);
}
