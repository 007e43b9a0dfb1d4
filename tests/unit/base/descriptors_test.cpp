// SPDX-License-Identifier: Apache-2.0
#include "base/descriptors.hpp"

#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "mvm/hypervisor.hpp"
#include "support/catch.hpp"

using mvm::UniqueFd;
using namespace mvm::host;

namespace {

constexpr KeptDescriptors eight{8, 1};

// A limit that leaves 64 beyond the first free one, until it goes.
class FewDescriptors {
 public:
  FewDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const UniqueFd lowest(::dup(STDERR_FILENO));
    const rlimit few{static_cast<rlim_t>(lowest.get()) + 64, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

std::vector<UniqueFd> take_all() {
  std::vector<UniqueFd> taken;
  for (UniqueFd fd(::dup(STDERR_FILENO)); fd; fd = UniqueFd(::dup(STDERR_FILENO))) taken.push_back(std::move(fd));
  return taken;
}

}  // namespace

TEST_CASE("what is needed and what is kept both have to be there") {
  bool exactly = false;
  bool one_less = true;
  bool none_to_look_with = true;
  {
    const FewDescriptors few;
    std::vector<UniqueFd> taken = take_all();
    none_to_look_with = leaves_descriptors_beside(STDERR_FILENO, 0, eight);
    taken.resize(taken.size() - 12);  // one to look with, 3 needed, 8 kept
    exactly = leaves_descriptors_beside(STDERR_FILENO, 3, eight);
    one_less = leaves_descriptors_beside(STDERR_FILENO, 4, eight);
  }
  CHECK(exactly);
  CHECK_FALSE(one_less);
  CHECK_FALSE(none_to_look_with);
}

TEST_CASE("a low descriptor that came free is not taken for room above it") {
  bool room = true;
  bool room_in_holes = false;
  {
    const FewDescriptors few;
    std::vector<UniqueFd> taken = take_all();
    taken.front().reset();
    room = leaves_descriptors_beside(STDERR_FILENO, 1, eight);
    for (size_t i = 0; i < 20; i += 2) taken[i].reset();
    room_in_holes = leaves_descriptors_beside(STDERR_FILENO, 1, eight);
  }
  CHECK_FALSE(room);
  CHECK(room_in_holes);
}

TEST_CASE("of a small limit only a part is kept") {
  CHECK(kept_from_clients.of(65536) == 64);
  CHECK(kept_from_clients.of(128) == 16);
  CHECK(kept_from_guests.of(1024) == 256);
  CHECK(kept_from_guests.of(100) == 25);
  CHECK(kept_from_handed_over.of(96) == 6);
}
