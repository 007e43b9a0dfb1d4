// SPDX-License-Identifier: Apache-2.0
#include "forward/relay.hpp"

#include <memory>
#include <utility>

#include <boost/asio/post.hpp>

#include "base/log.hpp"
#include "forward/sockets.hpp"
#include "forward/splice_pipe.hpp"

namespace mvm::host {
namespace {

using boost::system::error_code;

// Also the most that a relay keeps for a peer that does not read, and what one connection may copy before the others
// have their turn. Reads of 64 KiB took half as much processor time again (docs/performance.md).
constexpr size_t scratch_bytes = 256 * 1024;
// A read that finds as much means that much comes: what follows is spliced.
constexpr size_t flood_bytes = 64 * 1024;
// After a burst of as many, the next one is spliced from its first byte on.
constexpr size_t least_spliced_bytes = 16 * 1024;
// What one connection may splice before the others have their turn: as many pipes full.
constexpr int splices_per_wakeup = 4;

// One for all relays of a loop: what is in it has been sent or copied before the next one runs. Not cleared: pages that
// no read has filled take no memory.
char* scratch() {
  thread_local const std::unique_ptr<char[]> buffer(new char[scratch_bytes]);
  return buffer.get();
}

SplicePipes& pipes() {
  thread_local SplicePipes pipes;
  return pipes;
}

// Owned by its handlers: a relay lives while it waits for something, and goes with the loop.
class Relay : public std::enable_shared_from_this<Relay> {
 public:
  Relay(boost::asio::io_context& loop, std::function<void(RelayTotals)> ended, std::shared_ptr<RelayTotals> sum)
      : a_(loop.get_executor()), b_(loop.get_executor()), ended_(std::move(ended)), sum_(std::move(sum)) {}

  bool take(UniqueFd a, UniqueFd b) {
    // From TCP into a Unix socket splice takes a third of a copy's time; the other way it takes more than a copy
    // (docs/performance.md).
    a_to_b_.can_splice = is_tcp(a.get());
    b_to_a_.can_splice = is_tcp(b.get());
    return take_one(a_, std::move(a)) && take_one(b_, std::move(b));
  }

  void start(std::string first_to_b) {
    a_to_b_.pending = std::move(first_to_b);
    a_to_b_.pending.empty() ? wait_readable(a_to_b_) : wait_writable(a_to_b_);
    wait_readable(b_to_a_);
  }

  void finish() {
    over_ = true;
    const bool cut = a_to_b_.cut || b_to_a_.cut;
    close(a_, cut);
    close(b_, cut);
    if (auto ended = std::exchange(ended_, nullptr)) ended(totals_);
  }

 private:
  struct Direction {
    LoopFd& from;
    LoopFd& to;
    std::string pending;  // read, and not yet taken by `to`; while there is any, nothing more is read
    size_t pending_sent = 0;
    std::unique_ptr<SplicePipe> pipe;  // as pending, while bytes are spliced
    bool can_splice = false;
    bool flooded = false;  // the last burst was worth splicing; so will be the next
    bool ended = false;
    bool cut = false;      // ended by an error
    bool watched = false;  // `from` is watched for a reset
  };

  static bool take_one(LoopFd& socket, UniqueFd fd) {
    if (!fd) return false;
    prepare_socket(fd.get());
    error_code error;
    socket.assign(fd.get(), error);
    if (error) return false;
    fd.release();
    return true;
  }

  static void close(LoopFd& socket, bool cut) {
    if (!socket.is_open()) return;
    if (cut) reset_on_close(socket.native_handle());
    error_code ignored;
    socket.close(ignored);
  }

  void wait_readable(Direction& d) {
    d.from.async_wait(LoopFd::wait_read, [self = shared_from_this(), &d](error_code error) {
      if (!self->over_) error ? self->reset(d) : self->pump(d);
    });
  }

  void wait_writable(Direction& d) {
    d.to.async_wait(LoopFd::wait_write, [self = shared_from_this(), &d](error_code error) {
      if (!self->over_) error ? self->reset(d) : self->drain(d);
    });
    watch_source(d);
  }

  // Nothing is read from a source whose peer is slow, or gone. Its reset must be noticed even so, or a client that gave
  // up on a stuck guest would stay for ever. Once each time: a socket that has ended without an error reports that
  // again and again.
  void watch_source(Direction& d) {
    if (std::exchange(d.watched, true)) return;
    d.from.async_wait(LoopFd::wait_error, [self = shared_from_this(), &d](error_code error) {
      d.watched = false;
      if (!self->over_ && !error && (d.cut || has_pending(d)) && has_error(d.from)) self->reset(d);
    });
  }

  void count(const Direction& d, uint64_t bytes) {
    const auto into = &d == &a_to_b_ ? &RelayTotals::bytes_a_to_b : &RelayTotals::bytes_b_to_a;
    totals_.*into += bytes;
    if (sum_) (*sum_).*into += bytes;
  }

  static bool has_pending(const Direction& d) { return d.pipe != nullptr || !d.pending.empty(); }

  static bool has_error(LoopFd& socket) {
    int error = 0;
    socklen_t size = sizeof(error);
    return ::getsockopt(socket.native_handle(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0;
  }

  // Moves bytes until `from` has no more, `to` takes no more or it is another's turn. Little is copied sooner than it
  // is spliced.
  void pump(Direction& d) {
    if (d.flooded && take_pipe(d)) return splice(d);
    const size_t most = d.can_splice ? flood_bytes : scratch_bytes;
    for (size_t moved = 0; moved < scratch_bytes; moved += most) {
      const ssize_t got = ::recv(d.from.native_handle(), scratch(), most, 0);
      if (got == 0) return end(d);
      if (got < 0 && !would_block(errno)) return reset(d);
      if (got < 0) break;
      d.flooded = static_cast<size_t>(got) >= least_spliced_bytes;
      if (!pass_on(d, scratch(), static_cast<size_t>(got))) return;
      // Waiting tells as well as another read whether there is more, and is needed anyway.
      if (static_cast<size_t>(got) < most) break;
      if (take_pipe(d)) return splice(d);
    }
    wait_readable(d);
  }

  // False: this direction cannot be spliced, or not now.
  static bool take_pipe(Direction& d) {
    if (d.can_splice) d.pipe = pipes().take();
    return d.pipe != nullptr;
  }

  void splice(Direction& d) {
    for (int turn = 0; turn < splices_per_wakeup; ++turn) {
      const ssize_t got = d.pipe->fill(d.from.native_handle());
      if (got <= 0) return stop_splicing(d, got == 0 ? 0 : errno);
      d.flooded = turn > 0 || static_cast<size_t>(got) >= least_spliced_bytes;
      if (!drain_pipe(d)) return;
    }
    stop_splicing(d, EAGAIN);
  }

  // The pipe is empty. why: 0 for an end, else errno.
  void stop_splicing(Direction& d, int why) {
    pipes().give_back(std::move(d.pipe));
    if (why == 0) return end(d);
    if (why == EINVAL) d.can_splice = false;
    if (why != EINVAL && !would_block(why)) return reset(d);
    wait_readable(d);
  }

  // As pass_on.
  bool drain_pipe(Direction& d) {
    while (d.pipe->held_bytes() > 0) {
      const ssize_t sent = d.pipe->drain(d.to.native_handle());
      if (sent <= 0) {
        pipe_stuck(d, errno);
        return false;
      }
      count(d, static_cast<uint64_t>(sent));
    }
    return true;
  }

  void pipe_stuck(Direction& d, int why) {
    if (why != EINVAL && !would_block(why)) return cut_off(d);
    if (why == EINVAL) {
      d.can_splice = false;
      d.pending = d.pipe->read_out();
      d.pending_sent = 0;
      pipes().give_back(std::move(d.pipe));
    }
    wait_writable(d);
  }

  // False: not all of it; what comes next is arranged.
  bool pass_on(Direction& d, const char* data, size_t size) {
    const ssize_t sent = send_some(d.to.native_handle(), data, size);
    if (sent < 0 && !would_block(errno)) {
      cut_off(d);
      return false;
    }
    const size_t taken = sent < 0 ? 0 : static_cast<size_t>(sent);
    count(d, taken);
    if (taken == size) return true;
    d.pending.assign(data + taken, size - taken);
    d.pending_sent = 0;
    wait_writable(d);
    return false;
  }

  void drain(Direction& d) {
    if (d.pipe) {
      if (drain_pipe(d)) splice(d);
      return;
    }
    const size_t left = d.pending.size() - d.pending_sent;
    const ssize_t sent = send_some(d.to.native_handle(), d.pending.data() + d.pending_sent, left);
    if (sent < 0 && !would_block(errno)) return cut_off(d);
    if (sent > 0) {
      d.pending_sent += static_cast<size_t>(sent);
      count(d, static_cast<uint64_t>(sent));
    }
    if (d.pending_sent < d.pending.size()) return wait_writable(d);
    drop_pending(d);
    pump(d);
  }

  // Frees the memory too: an idle relay holds none.
  static void drop_pending(Direction& d) {
    std::string().swap(d.pending);
    pipes().give_back(std::move(d.pipe));
    d.pending_sent = 0;
  }

  // The end of one direction is passed on; the other goes on.
  void end(Direction& d) {
    d.ended = true;
    // After a failed send to this source its end is a reset in disguise: the send has taken the error.
    if (!other(d).cut) ::shutdown(d.to.native_handle(), SHUT_WR);
    if (other(d).ended) finish();
  }

  // `to` takes no more. What it has still to say is passed on first: a server may answer and close before it has read
  // all of the request.
  void cut_off(Direction& d) {
    d.ended = true;
    d.cut = true;
    drop_pending(d);
    if (other(d).ended) return finish();
    watch_source(d);
  }

  void reset(Direction& d) {
    d.cut = true;
    finish();
  }

  Direction& other(Direction& d) { return &d == &a_to_b_ ? b_to_a_ : a_to_b_; }

  LoopFd a_;
  LoopFd b_;
  std::function<void(RelayTotals)> ended_;
  std::shared_ptr<RelayTotals> sum_;
  RelayTotals totals_;
  Direction a_to_b_{a_, b_};
  Direction b_to_a_{b_, a_};
  bool over_ = false;
};

}  // namespace

void start_relay(boost::asio::io_context& loop, UniqueFd a, UniqueFd b, std::string first_to_b,
                 std::function<void(RelayTotals)> ended, std::shared_ptr<RelayTotals> sum) {
  auto relay = std::make_shared<Relay>(loop, std::move(ended), std::move(sum));
  if (relay->take(std::move(a), std::move(b))) return relay->start(std::move(first_to_b));
  log::warn("relay: a connection cannot be watched by the event loop; it is closed");
  boost::asio::post(loop, [relay] { relay->finish(); });
}

}  // namespace mvm::host
