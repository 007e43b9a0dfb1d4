// SPDX-License-Identifier: Apache-2.0
// The qemu plugin's vsock device against a real kernel in QEMU: from boot to the first byte, connections, round trips,
// both directions' throughput, and what it costs idle. Several guests, one after the other; bench/make-vsock-guest's.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.hpp"
#include "vsock/vsock_device.hpp"

extern char** environ;

using namespace mvm;
using namespace mvm::bench;

namespace {

constexpr int idle_seconds = 10;
constexpr int round_trips = 3000;
constexpr int connections = 300;
constexpr int transfers = 5;
constexpr size_t transfer_bytes = 64 * 1024 * 1024;
constexpr uint32_t echo_port = 7, discard_port = 9, generate_port = 19;

class Guest {
 public:
  Guest(const std::string& kernel, const std::string& initrd, const std::string& accelerator) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
    const UniqueFd front_end(ends[0]);
    device_ =
        qemu::VsockDevice::start(UniqueFd(ends[1]), {.log = [](int32_t level, std::string_view message) {
                                   if (level < MVM_LOG_WARN) return;
                                   std::fprintf(stderr, "%.*s\n", static_cast<int>(message.size()), message.data());
                                 }});
    const std::vector<std::string> command = {"qemu-system-x86_64",
                                              "-M",
                                              "q35,memory-backend=mem",
                                              "-accel",
                                              accelerator,
                                              "-cpu",
                                              "max",
                                              "-m",
                                              "256",
                                              "-nodefaults",
                                              "-no-user-config",
                                              "-display",
                                              "none",
                                              "-no-reboot",
                                              "-object",
                                              "memory-backend-memfd,id=mem,size=256M,share=on",
                                              "-kernel",
                                              kernel,
                                              "-initrd",
                                              initrd,
                                              "-append",
                                              "console=ttyS0 quiet panic=-1 no_timer_check cryptomgr.notests",
                                              "-serial",
                                              "file:/dev/null",
                                              "-chardev",
                                              "socket,id=vs,fd=3",
                                              "-device",
                                              "vhost-user-vsock-pci,chardev=vs"};
    std::vector<char*> argv;
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, front_end.get(), 3);
    const int error = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) give_up(std::string("qemu-system-x86_64: ") + std::strerror(error));
  }
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  UniqueFd connect(uint32_t port, std::chrono::seconds timeout = std::chrono::seconds(5)) {
    std::promise<UniqueFd> stream;
    device_->connect(port, timeout, FdCompletion([&](mvm_status status, UniqueFd fd, Bytes error) {
                       if (status != MVM_OK) give_up(std::string(error));
                       stream.set_value(std::move(fd));
                     }));
    return stream.get_future().get();
  }

 private:
  std::unique_ptr<qemu::VsockDevice> device_;
  pid_t pid_ = -1;
};

void write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n <= 0) give_up(std::string("write: ") + std::strerror(errno));
    data += n;
    size -= static_cast<size_t>(n);
  }
}

size_t read_to_end(int fd, std::string& buffer) {
  size_t bytes = 0;
  while (true) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0) give_up(std::string("read: ") + std::strerror(errno));
    if (n == 0) return bytes;
    bytes += static_cast<size_t>(n);
  }
}

void round_trip(int fd, std::string& message) {
  write_all(fd, message.data(), message.size());
  for (size_t have = 0; have < message.size();) {
    const ssize_t n = ::read(fd, message.data() + have, message.size() - have);
    if (n <= 0) give_up("the echo ended");
    have += static_cast<size_t>(n);
  }
}

// What was measured in one guest.
struct Figures {
  double first_byte_s, connect_us, round_trip_us, round_trip_p99_us, to_guest_mb_s, from_guest_mb_s, wake_ups;
};

void measure_latency(Guest& guest, Figures& figures) {
  UniqueFd fd;
  figures.connect_us = 1e3 * time_ms(
                                 connections, [&] { fd = guest.connect(echo_port); }, [&] { fd.reset(); })
                                 .median;
  fd = guest.connect(echo_port);
  std::string message(64, 'x');
  for (int i = 0; i < 100; ++i) round_trip(fd.get(), message);
  const Spread times = time_ms(
      round_trips, [&] { round_trip(fd.get(), message); }, [] {});
  figures.round_trip_us = 1e3 * times.median;
  figures.round_trip_p99_us = 1e3 * times.p99;
}

void send_much(Guest& guest, std::string& buffer) {
  const UniqueFd fd = guest.connect(discard_port);
  for (size_t left = transfer_bytes; left > 0; left -= std::min(left, buffer.size())) {
    write_all(fd.get(), buffer.data(), std::min(left, buffer.size()));
  }
  ::shutdown(fd.get(), SHUT_WR);
  std::string line(64, '\0');
  read_to_end(fd.get(), line);
  if (std::strtoull(line.c_str(), nullptr, 10) != transfer_bytes) give_up("the guest got another number of bytes");
}

void receive_much(Guest& guest, std::string& buffer) {
  const UniqueFd fd = guest.connect(generate_port);
  const std::string line = std::to_string(transfer_bytes) + "\n";
  write_all(fd.get(), line.data(), line.size());
  if (read_to_end(fd.get(), buffer) != transfer_bytes) give_up("the guest sent another number of bytes");
}

double mb_per_s(const Spread& times_ms) { return transfer_bytes / 1e3 / times_ms.median; }

void measure_throughput(Guest& guest, Figures& figures) {
  std::string buffer(256 * 1024, 'x');
  figures.to_guest_mb_s = mb_per_s(time_ms(
      transfers, [&] { send_much(guest, buffer); }, [] {}));
  figures.from_guest_mb_s = mb_per_s(time_ms(
      transfers, [&] { receive_much(guest, buffer); }, [] {}));
}

// The device's threads are this process's, but for the one that measures. A connection is open, and idle.
void measure_idle(Guest& guest, Figures& figures) {
  const UniqueFd open = guest.connect(echo_port);
  std::string message(1, 'x');
  round_trip(open.get(), message);
  // Connections that were closed before are watched for some seconds until the guest has confirmed it.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  const long before = wake_ups("/proc/self", ::getpid());
  std::this_thread::sleep_for(std::chrono::seconds(idle_seconds));
  figures.wake_ups = static_cast<double>(wake_ups("/proc/self", ::getpid()) - before);
}

Figures measure(const std::string& kernel, const std::string& initrd, const std::string& accelerator) {
  Figures figures{};
  const auto begin = std::chrono::steady_clock::now();
  Guest guest(kernel, initrd, accelerator);
  {
    const UniqueFd fd = guest.connect(echo_port, std::chrono::seconds(60));
    std::string byte(1, 'x');
    round_trip(fd.get(), byte);
  }
  figures.first_byte_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  measure_latency(guest, figures);
  measure_throughput(guest, figures);
  measure_idle(guest, figures);
  return figures;
}

void print(const std::vector<Figures>& all, const char* what, const char* unit, double Figures::*figure,
           const char* goal) {
  std::vector<double> values;
  for (const Figures& figures : all) values.push_back(figures.*figure);
  const Spread s = spread_of(std::move(values));
  std::printf("%-38s %9.1f %9.1f %9.1f %-5s %s\n", what, s.min, s.median, s.max, unit, goal);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr,
                 "Usage: mvm-vsock-bench KERNEL INITRD [GUESTS [kvm|tcg]]   (bench/make-vsock-guest makes both)\n");
    return 2;
  }
  const int guests = argc > 3 ? std::max(1, std::atoi(argv[3])) : 3;
  const std::string accelerator = argc > 4 ? argv[4] : "tcg";
  std::vector<Figures> all;
  for (int n = 0; n < guests; ++n) all.push_back(measure(argv[1], argv[2], accelerator));
  std::printf("%-38s %9s %9s %9s       %d guests, %s\n", "", "min", "median", "max", guests, accelerator.c_str());
  print(all, "from QEMU's start to the first byte", "s", &Figures::first_byte_s, "goal <= 4");
  print(all, "connect, p50", "us", &Figures::connect_us, "");
  print(all, "64 bytes there and back, p50", "us", &Figures::round_trip_us, "goal <= 300");
  print(all, "the same, p99", "us", &Figures::round_trip_p99_us, "");
  print(all, "host to guest, 64 MiB", "MB/s", &Figures::to_guest_mb_s, "goal >= 80");
  print(all, "guest to host, 64 MiB", "MB/s", &Figures::from_guest_mb_s, "goal >= 80");
  print(all, "the device's wake-ups, idle for 10 s", "", &Figures::wake_ups, "goal 0");
  return 0;
}
