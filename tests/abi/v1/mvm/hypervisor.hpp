// SPDX-License-Identifier: Apache-2.0
// The abstract hypervisor in C++: what a plugin author implements (mvm/plugin.hpp turns it into a plugin) and what a
// host calls. Header-only; knows mvm/abi.h and the standard library. Requests and answers are serialised mvm.v1
// messages, so that neither side sees the other's Protobuf.
#ifndef MVM_HYPERVISOR_HPP
#define MVM_HYPERVISOR_HPP

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <unistd.h>

#include "abi.h"

namespace mvm {

// Serialised Protobuf, borrowed for the call.
using Bytes = std::string_view;

inline Bytes from_abi(mvm_bytes b) noexcept {
  return b.data == nullptr ? Bytes{} : Bytes{static_cast<const char*>(b.data), b.size};
}
inline mvm_bytes to_abi(Bytes b) noexcept { return {b.data(), b.size()}; }

// A failure: one of MVM_ERR_... and a sentence that starts with its subject.
class Error : public std::runtime_error {
 public:
  Error(mvm_status status, const std::string& message)
      : std::runtime_error(message), status_(status < 0 ? status : MVM_ERR_INTERNAL) {}
  mvm_status status() const noexcept { return status_; }

 private:
  mvm_status status_;
};

// Owns a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// The answer to a slow verb. Copies share one answer: the first succeed or fail counts, later ones do nothing, and
// when the last copy goes without either, the call fails with MVM_ERR_INTERNAL. So a completion happens exactly once
// (MVM-P4) whatever the author does. Any thread.
template <class Reply>
class BasicCompletion {
 public:
  using Fn = std::function<void(mvm_status status, Reply reply, Bytes error)>;

  explicit BasicCompletion(Fn fn) : state_(std::make_shared<State>(std::move(fn))) {}

  void succeed(Reply reply = Reply{}) const noexcept { state_->answer(MVM_OK, std::move(reply), {}); }
  void fail(mvm_status status, Bytes message) const noexcept {
    state_->answer(status < 0 ? status : MVM_ERR_INTERNAL, Reply{}, message);
  }
  // For a catch block: the exception in flight becomes the failure.
  void fail_with_current_exception() const noexcept {
    try {
      throw;
    } catch (const Error& e) {
      fail(e.status(), e.what());
    } catch (const std::exception& e) {
      fail(MVM_ERR_INTERNAL, e.what());
    } catch (...) {
      fail(MVM_ERR_INTERNAL, "threw something that is not a std::exception");
    }
  }

 private:
  struct State {
    explicit State(Fn f) : fn(std::move(f)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { answer(MVM_ERR_INTERNAL, Reply{}, "the call was dropped without an answer"); }
    void answer(mvm_status status, Reply reply, Bytes error) noexcept {
      if (answered.exchange(true)) return;
      fn(status, std::move(reply), error);
    }
    Fn fn;
    std::atomic<bool> answered{false};
  };
  std::shared_ptr<State> state_;
};

using Completion = BasicCompletion<Bytes>;
using FdCompletion = BasicCompletion<UniqueFd>;

// The five verbs, and what it can do. Threads, states and messages: the functions of the same names in
// mvm_hypervisor_api (abi.h). A function may throw mvm::Error (or anything) instead of answering.
class Hypervisor {
 public:
  Hypervisor() = default;
  Hypervisor(const Hypervisor&) = delete;
  Hypervisor& operator=(const Hypervisor&) = delete;
  virtual ~Hypervisor() = default;

  virtual std::string info() = 0;                                    // -> mvm.v1.HypervisorInfo
  virtual void boot(Bytes vm_spec, Completion done) = 0;             // mvm.v1.VmSpec -> mvm.v1.VmInfo
  virtual void stop(Bytes stop_request, Completion done) = 0;        // mvm.v1.StopRequest
  virtual std::string list() = 0;                                    // -> mvm.v1.VmList
  virtual void vsock_connect(Bytes request, FdCompletion done) = 0;  // mvm.v1.VsockConnectRequest
  virtual void share_dir(Bytes request, Completion done) = 0;        // mvm.v1.ShareDirRequest
};

// Extension "mvm.unshare-dir/1" (mvm/ext/unshare_dir.h): derive from it beside Hypervisor.
class CanUnshareDir {
 public:
  virtual ~CanUnshareDir() = default;
  virtual void unshare_dir(Bytes request, Completion done) = 0;  // mvm.v1.UnshareDirRequest
};

// Extension "mvm.pause/1" (mvm/ext/pause.h): derive from it beside Hypervisor.
class CanPause {
 public:
  virtual ~CanPause() = default;
  virtual void pause(Bytes request, Completion done) = 0;   // mvm.v1.PauseRequest
  virtual void resume(Bytes request, Completion done) = 0;  // mvm.v1.ResumeRequest
};

// Extension "mvm.guest-connect/1" (mvm/ext/guest_connect.h). The function given owns the fd when it returns true;
// an empty function means that nobody listens any more.
class CanGuestConnect {
 public:
  using OnConnect = std::function<bool(uint32_t port, UniqueFd& fd)>;
  virtual ~CanGuestConnect() = default;
  virtual void guest_listen(uint32_t port, OnConnect on_connect) = 0;
};

// Parses a message of any Protobuf class (lite or full, whichever the caller has).
template <class Message>
Message parse(Bytes bytes) {
  Message message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    throw Error(MVM_ERR_INVALID, "request: these bytes are not a " + std::string(message.GetTypeName()));
  }
  return message;
}

}  // namespace mvm

#endif  // MVM_HYPERVISOR_HPP
