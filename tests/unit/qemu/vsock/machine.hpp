// SPDX-License-Identifier: Apache-2.0
// A device with a fake guest at its other end, and what a test does with the streams it gets.
#pragma once

#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "fake_guest.hpp"
#include "vsock/vsock_device.hpp"

namespace mvm::test {

using std::chrono::milliseconds;

struct Outcome {
  mvm_status status = MVM_OK;
  UniqueFd fd;
  std::string error;
};

// An answer to come.
class Call {
 public:
  FdCompletion completion();
  bool pending() const { return future_.wait_for(std::chrono::seconds(0)) != std::future_status::ready; }
  Outcome wait();  // fails the test when it never comes

 private:
  std::shared_ptr<std::promise<Outcome>> promise_ = std::make_shared<std::promise<Outcome>>();
  std::future<Outcome> future_ = promise_->get_future();
};

class Log {
 public:
  void add(std::string_view message);
  std::vector<std::string> lines() const;
  bool has(std::string_view part) const;
  bool wait_for(std::string_view part) const;

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

struct Machine {
  explicit Machine(qemu::VsockLimits limits = {});
  ~Machine();

  Call connect(uint32_t port, milliseconds timeout = patience);
  // Connected, with the guest's answer from here; the packet is its REQUEST.
  UniqueFd open(uint32_t port, PacketHeader* request = nullptr);
  // The guest's connection to a host port, once it was accepted.
  UniqueFd accept_from_guest(uint32_t guest_port, uint32_t host_port);

  std::shared_ptr<Log> log = std::make_shared<Log>();
  FakeGuest guest;
  std::unique_ptr<qemu::VsockDevice> device;
};

// -- streams, blocking, each with a deadline
void write_all(int fd, std::string_view bytes);
std::string read_exactly(int fd, size_t bytes);
std::string read_to_end(int fd);  // until the end, or ECONNRESET
bool ends(int fd);                // within patience, with nothing before
void end_writing(int fd);
bool is_broken_pipe(int fd);  // nobody reads at the other end; waits for that

std::string some_bytes(size_t size, uint32_t seed = 1);
size_t open_fds();
void raise_fd_limit();
// Whether the device's thread comes to rest, and then sleeps for so long without waking up.
bool device_stays_asleep(std::chrono::milliseconds time);

}  // namespace mvm::test
