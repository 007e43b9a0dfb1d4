// SPDX-License-Identifier: Apache-2.0
#include "machine.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>
#include <thread>

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace mvm::test {
namespace {

void wait_until(int fd, short events, const char* what) {
  pollfd wait{fd, events, 0};
  if (::poll(&wait, 1, static_cast<int>(milliseconds(patience).count())) != 1) {
    throw std::runtime_error(std::string("stream: ") + what);
  }
}

}  // namespace

FdCompletion Call::completion() {
  return FdCompletion([promise = promise_](mvm_status status, UniqueFd fd, Bytes error) {
    promise->set_value({status, std::move(fd), std::string(error)});
  });
}

Outcome Call::wait() {
  if (future_.wait_for(patience) != std::future_status::ready) throw std::runtime_error("a connect was not answered");
  return future_.get();
}

void Log::add(std::string_view message) {
  const std::lock_guard lock(mutex_);
  lines_.emplace_back(message);
}

std::vector<std::string> Log::lines() const {
  const std::lock_guard lock(mutex_);
  return lines_;
}

bool Log::has(std::string_view part) const {
  const auto all = lines();
  return std::any_of(all.begin(), all.end(), [&](const auto& line) { return line.find(part) != std::string::npos; });
}

bool Log::wait_for(std::string_view part) const {
  for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;) {
    if (has(part)) return true;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return false;
}

Machine::Machine(qemu::VsockLimits limits) {
  device = qemu::VsockDevice::start(guest.device_end(),
                                    {.guest_cid = FakeGuest::cid,
                                     .limits = limits,
                                     .log = [log = log](int32_t, std::string_view message) { log->add(message); }});
}

Machine::~Machine() = default;

Call Machine::connect(uint32_t port, milliseconds timeout) {
  Call call;
  device->connect(port, timeout, call.completion());
  return call;
}

UniqueFd Machine::open(uint32_t port, PacketHeader* request) {
  Call call = connect(port);
  const Packet packet = guest.expect(PacketOp::request);
  guest.answer(packet.header, PacketOp::response);
  Outcome outcome = call.wait();
  if (outcome.status != MVM_OK) throw std::runtime_error(outcome.error);
  if (request != nullptr) *request = packet.header;
  return std::move(outcome.fd);
}

UniqueFd Machine::accept_from_guest(uint32_t guest_port, uint32_t host_port) {
  std::promise<UniqueFd> taken;
  device->set_on_guest_connect([&taken](uint32_t, UniqueFd& fd) {
    taken.set_value(std::move(fd));
    return true;
  });
  guest.transmit(PacketOp::request, guest_port, host_port);
  guest.expect(PacketOp::response);
  device->set_on_guest_connect({});
  return taken.get_future().get();
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    wait_until(fd, POLLOUT, "takes no more");
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) continue;
    if (n <= 0) throw std::runtime_error(std::string("stream: write: ") + std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

std::string read_exactly(int fd, size_t size) {
  std::string bytes(size, '\0');
  for (size_t have = 0; have < size;) {
    wait_until(fd, POLLIN, "nothing comes");
    const ssize_t n = ::recv(fd, bytes.data() + have, size - have, 0);
    if (n <= 0) throw std::runtime_error("stream: ended after " + std::to_string(have) + " bytes");
    have += static_cast<size_t>(n);
  }
  return bytes;
}

std::string read_to_end(int fd) {
  std::string bytes;
  char buffer[65536];
  while (true) {
    wait_until(fd, POLLIN, "does not end");
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n <= 0) return bytes;
    bytes.append(buffer, static_cast<size_t>(n));
  }
}

bool ends(int fd) { return read_to_end(fd).empty(); }

void end_writing(int fd) { ::shutdown(fd, SHUT_WR); }

bool is_broken_pipe(int fd) {
  for (const auto end = std::chrono::steady_clock::now() + patience; std::chrono::steady_clock::now() < end;) {
    if (::send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE) return true;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return false;
}

std::string some_bytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

size_t open_fds() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

void raise_fd_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

namespace {

// How often the device's thread has gone to sleep; -1 as long as there is none that has given itself its name.
long device_sleeps() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream lines(task.path() / "status");
    bool device = false;
    for (std::string line; std::getline(lines, line);) {
      device = device || line == "Name:\tmvm-vsock";
      const std::string key = "voluntary_ctxt_switches:";
      if (device && line.rfind(key, 0) == 0) return std::strtol(line.c_str() + key.size(), nullptr, 10);
    }
  }
  return -1;
}

}  // namespace

bool device_stays_asleep(std::chrono::milliseconds time) {
  // What it did last may have its end yet to come. One that wakes up by itself does so every time.
  for (int tries = 0; tries < 10; ++tries) {
    const long before = device_sleeps();
    std::this_thread::sleep_for(time);
    if (before >= 0 && device_sleeps() == before) return true;
  }
  return false;
}

}  // namespace mvm::test
