// SPDX-License-Identifier: Apache-2.0
#include "check/stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <random>
#include <stdexcept>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check/subject.hpp"

namespace mvm::host::check {
namespace {

// Waits until fd is ready for one of the events.
short wait_for(int fd, short events) {
  pollfd p{fd, events, 0};
  const auto ms = std::chrono::milliseconds(subject().deadline).count();
  if (::poll(&p, 1, static_cast<int>(ms)) <= 0) throw std::runtime_error("stream: the deadline passed");
  return p.revents;
}

size_t read_some(int fd, char* to, size_t size) {
  wait_for(fd, POLLIN);
  const ssize_t n = ::recv(fd, to, size, 0);
  if (n < 0) throw std::runtime_error(std::string("stream: ") + std::strerror(errno));
  return static_cast<size_t>(n);
}

size_t send_some(int fd, std::string_view bytes) {
  const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (n >= 0) return static_cast<size_t>(n);
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return 0;
  throw std::runtime_error(std::string("stream: ") + std::strerror(errno));
}

}  // namespace

bool readable_within(int fd, int limit_ms) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, limit_ms) > 0;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    wait_for(fd, POLLOUT);
    bytes.remove_prefix(send_some(fd, bytes));
  }
}

void end_writing(int fd) { ::shutdown(fd, SHUT_WR); }

std::string read_exactly(int fd, size_t size) {
  std::string bytes(size, '\0');
  size_t have = 0;
  while (have < size) {
    const size_t n = read_some(fd, bytes.data() + have, size - have);
    if (n == 0) throw std::runtime_error("stream: ended after " + std::to_string(have) + " bytes");
    have += n;
  }
  return bytes;
}

std::string read_line(int fd) {
  std::string line;
  for (char c = 0; read_some(fd, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

std::string read_to_end(int fd) {
  std::string bytes;
  std::array<char, 65536> piece;
  while (const size_t n = read_some(fd, piece.data(), piece.size())) bytes.append(piece.data(), n);
  return bytes;
}

std::string exchange(int fd, std::string_view bytes) {
  std::string back;
  std::array<char, 65536> piece;
  bool writing = true;
  while (true) {
    if (writing && bytes.empty()) {
      end_writing(fd);
      writing = false;
    }
    const short ready = wait_for(fd, static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN));
    if (ready & POLLIN) {
      const size_t n = read_some(fd, piece.data(), piece.size());
      if (n == 0) return back;
      back.append(piece.data(), n);
    }
    if (writing && (ready & POLLOUT)) bytes.remove_prefix(send_some(fd, bytes));
  }
}

bool is_full(int fd) {
  pollfd p{fd, POLLOUT, 0};
  return ::poll(&p, 1, 0) == 0;
}

std::string some_bytes(size_t size, unsigned seed) {
  std::mt19937 engine(seed);
  std::string bytes(size, '\0');
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<char>(engine()); });
  return bytes;
}

size_t open_fds() {
  const std::filesystem::directory_iterator all("/dev/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all))) - 1;  // the iterator's own
}

}  // namespace mvm::host::check
