// SPDX-License-Identifier: Apache-2.0
#include "arrivals.hpp"

#include <optional>

namespace mvm::vz_double {

void Arrivals::listen(uint32_t port) {
  const std::lock_guard lock(mutex_);
  ports_.insert(port);
}

void Arrivals::ignore(uint32_t port) {
  const std::lock_guard lock(mutex_);
  ports_.erase(port);
}

void Arrivals::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

bool Arrivals::offer(uint32_t port, const std::function<void(Answer answer)>& ask) {
  const auto answered = std::make_shared<std::optional<bool>>();
  std::unique_lock lock(mutex_);
  if (closed_ || !ports_.contains(port)) return false;
  lock.unlock();
  ask([self = shared_from_this(), answered](bool taken) {
    const std::lock_guard answering(self->mutex_);
    *answered = taken;
    self->changed_.notify_all();
  });
  lock.lock();
  changed_.wait(lock, [&] { return closed_ || answered->has_value(); });
  return answered->value_or(false);
}

}  // namespace mvm::vz_double
