// SPDX-License-Identifier: Apache-2.0
#include "forward/listener.hpp"

#include <chrono>
#include <utility>

#include <fcntl.h>

#include "base/descriptors.hpp"
#include "base/file.hpp"
#include "base/log.hpp"

namespace mvm::host {
namespace {

using boost::system::error_code;

constexpr std::chrono::milliseconds back_off_time{100};
// Connections that run have their turn between two batches of new ones.
constexpr int accepts_per_wakeup = 64;

bool is_exhaustion(int error) { return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS; }

}  // namespace

Listener::Listener(boost::asio::io_context& loop, UniqueFd listening, std::string label, size_t max_clients)
    : socket_(loop.get_executor(), listening.get()),
      timer_(loop.get_executor()),
      label_(std::move(label)),
      max_clients_(max_clients) {
  listening.release();
}

void Listener::start(OnClient on_client, std::function<size_t()> still_needed) {
  on_client_ = std::move(on_client);
  still_needed_ = std::move(still_needed);
  wait();
}

void Listener::close() {
  closed_ = true;
  timer_.cancel();
  error_code ignored;
  socket_.close(ignored);
  on_client_ = nullptr;
  still_needed_ = nullptr;
  held_.reset();
}

void Listener::wait() {
  socket_.async_wait(LoopFd::wait_read, [self = shared_from_this()](error_code error) {
    if (!error && !self->closed_) self->accept_some();
  });
}

void Listener::accept_some() {
  for (int i = 0; i < accepts_per_wakeup; ++i) {
    if (clients_ >= max_clients_) return pause();
    UniqueFd client = next_client();
    if (!client) return held_ ? back_off(EMFILE) : accept_failed(errno);
    serve(std::move(client));
    if (closed_) return;
  }
  wait();
}

UniqueFd Listener::next_client() {
  if (held_) {
    return leaves_descriptors_beside(held_.get(), needed_with_next(), kept_from_clients) ? std::move(held_)
                                                                                         : UniqueFd();
  }
  UniqueFd client = accept_client(socket_.native_handle());
  if (!client || leaves_descriptors(client.get(), needed_with_next(), kept_from_clients)) return client;
  held_ = std::move(client);
  return {};
}

size_t Listener::needed_with_next() const { return (still_needed_ ? still_needed_() : 0) + descriptors_per_client; }

void Listener::serve(UniqueFd client) {
  accepts_again();
  ++clients_;
  const OnClient on_client = on_client_;  // it may close this listener
  on_client(std::move(client), [self = shared_from_this()] { self->client_gone(); });
}

void Listener::accept_failed(int error) {
  // The second two: a client that went before it was taken.
  if (!would_block(error) && error != ECONNABORTED && error != EPROTO) return back_off(error);
  accepts_again();
  wait();
}

void Listener::accepts_again() {
  exhausted_ = false;
  if (std::exchange(said_exhausted_, false)) log::info("{}: accepts clients again", label_);
}

// Waiting for readiness would spin here: the client that cannot be taken stays in the queue.
void Listener::back_off(int error) {
  if (!std::exchange(exhausted_, true) && exhaustion_pace_.pass()) {
    said_exhausted_ = true;
    log::warn("{}: cannot accept clients: {}; they wait until there is room{}", label_, errno_words(error),
              is_exhaustion(error) ? " (see ulimit -n)" : "");
  }
  timer_.expires_after(back_off_time);
  timer_.async_wait([self = shared_from_this()](error_code cancelled) {
    if (!cancelled && !self->closed_) self->accept_some();
  });
}

void Listener::pause() {
  paused_ = true;
  if (!limit_pace_.pass()) return;
  log::warn("{}: {} connections are open, which is the limit; further clients wait until one ends", label_,
            max_clients_);
}

void Listener::client_gone() {
  --clients_;
  if (!closed_ && std::exchange(paused_, false)) wait();
}

}  // namespace mvm::host
