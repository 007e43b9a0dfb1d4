// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <future>
#include <thread>
#include <vector>

namespace mvm::host {

// Calls work(begin, end) for parts of [0, count) that together are all of it, each of `fewest` or more, on this thread
// and on as many others as processors are left, four in all at most. Returns when all have; throws what one threw.
template <class Work>
void in_parallel(size_t count, size_t fewest, const Work& work) {
  constexpr size_t most_threads = 4;
  const size_t processors = std::max(1u, std::thread::hardware_concurrency());
  const size_t parts = std::clamp<size_t>(count / fewest, 1, std::min(processors, most_threads));
  const size_t each = (count + parts - 1) / parts;
  std::vector<std::future<void>> others;  // their destructors wait
  for (size_t begin = each; begin < count; begin += each) {
    others.push_back(
        std::async(std::launch::async, [&work, begin, end = std::min(count, begin + each)] { work(begin, end); }));
  }
  work(0, std::min(each, count));
  for (auto& other : others) other.get();
}

}  // namespace mvm::host
