// SPDX-License-Identifier: Apache-2.0
// Sockets, from a test's end: everything has a deadline, and throws std::runtime_error when it passes.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace mvm::test {

inline constexpr std::chrono::seconds stream_deadline{20};

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { reset(); }
  void reset();
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Whether it became readable (or ended) in time.
bool readable(int fd, std::chrono::milliseconds limit);

Fd connect_tcp(uint16_t port);                       // of 127.0.0.1; invalid when refused
Fd connect_unix(const std::filesystem::path& path);  // invalid when refused
Fd listen_tcp(uint16_t port);                        // of 127.0.0.1; 0: any
Fd listen_unix(const std::filesystem::path& path);
Fd accept_one(const Fd& listener);
uint16_t port_of(const Fd& socket);
uint16_t free_port();  // nobody listened there a moment ago

void send_all(const Fd& fd, std::string_view bytes);
void end_sending(const Fd& fd);  // SHUT_WR
std::string receive(const Fd& fd, size_t size);
std::string receive_line(const Fd& fd);    // without its newline; what there was when the stream ends before
std::string receive_to_end(const Fd& fd);  // a reset ends it too

// Sends all, ends sending, and takes what comes back until the end: both at once, for peers with backpressure.
std::string send_and_receive(const Fd& fd, std::string_view bytes);

// Different at every place, so that lost, doubled and swapped blocks are seen.
std::string some_bytes(size_t size, unsigned seed = 1);

}  // namespace mvm::test
