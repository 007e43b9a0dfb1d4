// SPDX-License-Identifier: Apache-2.0
#include "vsock/vsock_engine.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vsock/iovecs.hpp"

namespace mvm::qemu {
namespace {

// How much of each is done in one step, so that none keeps the others waiting.
constexpr int events_per_step = 128;
constexpr int packets_taken_per_step = 128;
constexpr int turns_given_per_step = 64;
constexpr uint64_t bytes_per_turn = 64 * 1024;

// What epoll tells apart by number; any other value is a Connection's address.
enum Source : uint64_t { front_end = 1, wake_up, kick_rx, kick_tx, after_sources };

[[noreturn]] void throw_errno(const char* what) {
  throw Error(MVM_ERR_INTERNAL, std::string("vsock device: ") + what + ": " + std::strerror(errno));
}

UniqueFd make_epoll() {
  UniqueFd fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!fd) throw_errno("epoll_create1");
  return fd;
}

UniqueFd make_eventfd() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw_errno("eventfd");
  return fd;
}

bool watch(int epoll, int fd, uint32_t events, uint64_t source) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = source;
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

uint64_t checked_cid(uint64_t cid) {
  if (cid <= host_cid || cid >= UINT32_MAX) {
    throw Error(MVM_ERR_INVALID, "vsock CID " + std::to_string(cid) + ": is reserved; a guest's is 3 or above");
  }
  return cid;
}

}  // namespace

VsockEngine::VsockEngine(UniqueFd vhost_user, Config config)
    : config_(std::move(config)),
      epoll_(make_epoll()),
      wake_(make_eventfd()),
      now_(config_.clock()),
      log_(config_.log),
      streams_(epoll_.get(), checked_cid(config_.guest_cid), config_.limits, timers_, log_),
      dialer_(*this, timers_, config_.limits),
      session_(std::move(vhost_user), config_.guest_cid, 0, *this) {
  streams_.set_dialer(dialer_);
  streams_.set_now(now_);
  // Eventfds are watched by the edge: each write is one, and nobody has to read them.
  if (!watch(epoll_.get(), wake_.get(), EPOLLIN | EPOLLET, wake_up) ||
      !watch(epoll_.get(), session_.fd(), EPOLLIN, front_end)) {
    throw_errno("epoll_ctl");
  }
}

VsockEngine::~VsockEngine() { end("the VM has ended"); }

// ---- the loop

void VsockEngine::step(bool wait) {
  std::array<epoll_event, events_per_step> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), events_per_step, wait ? wait_ms() : 0);
  now_ = config_.clock();
  streams_.set_now(now_);
  for (int i = 0; i < count; ++i)
    dispatch(events[static_cast<size_t>(i)].data.u64, events[static_cast<size_t>(i)].events);
  settle_driver();
  timers_.run_due(now_);
  take_from_guest();
  give_to_guest();
  settle_faults();
  streams_.sweep();
}

// Rounded up: a timer that is not due yet would only be waited for again.
int VsockEngine::wait_ms() const {
  if ((more_to_take_ && streams_.can_receive()) || more_to_give_) return 0;
  const auto next = timers_.next();
  if (!next) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - config_.clock()).count();
  return static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX));
}

void VsockEngine::dispatch(uint64_t source, uint32_t events) {
  switch (source) {
    case front_end:
      return hear_front_end();
    case wake_up:
      return run_tasks();
    case kick_rx:
      more_to_give_ = true;
      return;
    case kick_tx:
      more_to_take_ = true;
      return;
    default:
      streams_.on_socket(*reinterpret_cast<Connection*>(source), events);  // NOLINT: what watch() was given
  }
}

void VsockEngine::post(std::function<void()> task) {
  bool first = false;
  {
    const std::lock_guard lock(tasks_mutex_);
    first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  if (first) [[maybe_unused]]
    const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void VsockEngine::run_tasks() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(tasks_mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) task();
}

void VsockEngine::connect(uint32_t port, std::chrono::milliseconds timeout, FdCompletion done) {
  if (ended()) return done.fail(MVM_ERR_CANCELLED, "vsock port " + std::to_string(port) + ": " + ended_because_);
  dialer_.dial(port, std::max(timeout, std::chrono::milliseconds(0)), std::move(done));
}

void VsockEngine::end(const std::string& why) {
  if (ended()) return;
  ended_because_ = why;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session_.fd(), nullptr);
  session_.hang_up();
  dialer_.cancel_all(why);
  streams_.drop_all();
}

// ---- QEMU

void VsockEngine::hear_front_end() {
  if (ended()) return;
  try {
    session_.on_readable();
  } catch (const Error& e) {
    log_.log(e.status() == MVM_ERR_CANCELLED ? MVM_LOG_DEBUG : MVM_LOG_ERROR, std::string("vsock device: ") + e.what());
    end("the VM has ended");
  }
}

bool VsockEngine::kick_added(Queue queue, int fd) {
  more_to_take_ = more_to_give_ = true;  // kicks on the fd before this one may not have been seen
  return watch(epoll_.get(), fd, EPOLLIN | EPOLLET, queue == Queue::rx ? kick_rx : kick_tx);
}

void VsockEngine::kick_removed(Queue, int fd) noexcept {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  driver_was_up_ = false;
}

void VsockEngine::driver_reset() {
  driver_was_up_ = false;
  streams_.drop_all();
}

void VsockEngine::note(std::string_view what) { log_.log_limited(now_, MVM_LOG_WARN, what); }

// What became possible, or impossible, through what QEMU said.
void VsockEngine::settle_driver() {
  const bool up = driver_up();
  if (std::exchange(driver_was_up_, up) == up || !up) return;
  more_to_take_ = more_to_give_ = true;
  dialer_.driver_came();
}

// A ring that broke the rules stays out of use until the driver sets it up anew; its streams cannot go on.
void VsockEngine::settle_faults() {
  for (const Queue queue : {Queue::rx, Queue::tx}) {
    const std::string_view fault = session_.take_fault(queue);
    if (fault.empty()) continue;
    log_.log_limited(now_, MVM_LOG_WARN,
                     std::string("vsock device: the guest's driver broke the ") +
                         (queue == Queue::rx ? "receive" : "transmit") + " ring: " + std::string(fault) +
                         "; all its streams end, until it starts anew");
    driver_was_up_ = false;
    streams_.drop_all();
  }
}

// ---- from the guest

void VsockEngine::take_from_guest() {
  if (!more_to_take_ || !driver_up()) return;
  Virtqueue& tx = session_.queue(Queue::tx);
  tx.disable_kicks();
  int taken = 0;
  while (taken < packets_taken_per_step && streams_.can_receive() && tx.pop(chain_)) {
    take_packet(chain_);
    tx.push(chain_.head, 0);
    ++taken;
  }
  publish(Queue::tx);
  const bool stopped_early = taken == packets_taken_per_step || !streams_.can_receive();
  more_to_take_ = !tx.broken() && (stopped_early || tx.enable_kicks());
}

void VsockEngine::take_packet(Chain& chain) {
  if (chain.readable_bytes < sizeof(PacketHeader)) {
    return log_.log_limited(now_, MVM_LOG_WARN,
                            "vsock device: the guest sent something too short for a packet; dropped");
  }
  PacketHeader header{};
  copy_from(chain.readable, std::as_writable_bytes(std::span(&header, 1)));
  std::atomic_signal_fence(std::memory_order_seq_cst);  // never read again: the guest may change it
  streams_.receive(header, skip_front(chain.readable, sizeof header), chain.readable_bytes - sizeof header);
}

// ---- to the guest

void VsockEngine::give_to_guest() {
  if (!driver_up()) return;
  Virtqueue& rx = session_.queue(Queue::rx);
  Sent sent = Sent::something;
  for (int turns = 0; turns < turns_given_per_step && sent == Sent::something; ++turns) {
    sent = give_next();
    publish(Queue::rx);
  }
  if (sent == Sent::no_room && !rx.broken()) {
    more_to_give_ = rx.enable_kicks();
  } else {
    more_to_give_ = sent == Sent::something;
  }
}

VsockEngine::Sent VsockEngine::give_next() {
  const Sent control = give_control();
  return control == Sent::nothing ? give_data() : control;
}

VsockEngine::Sent VsockEngine::give_control() {
  if (!streams_.owes_control()) return Sent::nothing;
  Virtqueue& rx = session_.queue(Queue::rx);
  while (streams_.owes_control()) {
    if (!batch_.gather(rx, 1, 1)) return Sent::no_room;
    batch_.send_control(rx, streams_.next_control());
  }
  return Sent::something;
}

VsockEngine::Sent VsockEngine::give_data() {
  Connection* reader = streams_.next_reader();
  if (reader == nullptr) return Sent::nothing;
  Virtqueue& rx = session_.queue(Queue::rx);
  const uint64_t most = std::min<uint64_t>(reader->guest_room(), bytes_per_turn);
  if (!batch_.gather(rx, reader->chains_hint, most)) return Sent::no_room;
  const uint32_t bytes = streams_.read(*reader, batch_.data());
  const unsigned used = batch_.deliver(rx, bytes, [&](uint32_t len) { return streams_.data_header(*reader, len); });
  reader->chains_hint = static_cast<uint8_t>(std::min(2 * used + 1, RxBatch::max_chains));
  streams_.end_turn(*reader);
  return Sent::something;
}

void VsockEngine::publish(Queue queue) {
  if (session_.queue(queue).publish()) session_.interrupt(queue);
}

}  // namespace mvm::qemu
