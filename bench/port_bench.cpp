// SPDX-License-Identifier: Apache-2.0
// Published ports beside what a user would pick instead: each forwards a TCP port of the loopback to the same Unix
// socket, in turn, round by round, so that a machine that slows down slows all of them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include <unistd.h>

#include "backend.hpp"
#include "forwarders.hpp"
#include "load.hpp"
#include "measure.hpp"

using namespace mvm;
using namespace mvm::bench;
using namespace std::chrono_literals;

namespace {

constexpr auto bulk_time = 160ms;
constexpr auto connecting_time = 200ms;
constexpr int round_trips = 1000;
constexpr uint16_t first_port = 21400;
constexpr double gib = 1024.0 * 1024 * 1024;

struct Work {
  const char* name;
  const char* unit;
  bool more_is_better;
};

constexpr Work works[] = {
    {"from the guest, 1 connection", "GiB/s", true},   {"from the guest, 1, CPU", "s/GiB", false},
    {"from the guest, 64 connections", "GiB/s", true}, {"from the guest, 64, CPU", "s/GiB", false},
    {"to the guest, 1 connection", "GiB/s", true},     {"to the guest, 1, CPU", "s/GiB", false},
    {"to the guest, 64 connections", "GiB/s", true},   {"to the guest, 64, CPU", "s/GiB", false},
    {"new connections, HTTP 1 KiB", "1/s", true},      {"64-byte round trip, added, p50", "us", false},
    {"64-byte round trip, added, p99", "us", false},
};
constexpr size_t work_count = std::size(works);

struct Contender {
  Forwarder forwarder;
  uint16_t port;
  std::unique_ptr<Running> running;
  std::vector<double> values[work_count];
};

void measure_bulk(Contender& c, Way way, int connections, size_t at) {
  const double before = c.running->cpu_seconds();
  const Bulk got = bulk(to_tcp(c.port), way, connections, bulk_time);
  const double amount = static_cast<double>(got.bytes) / gib;
  c.values[at].push_back(amount / got.seconds);
  if (!c.forwarder.cpu_is_whole) return;
  c.values[at + 1].push_back((c.running->cpu_seconds() - before) / amount);
}

void measure_round(Contender& c, const std::string& socket) {
  measure_bulk(c, Way::from_guest, 1, 0);
  measure_bulk(c, Way::from_guest, 64, 2);
  measure_bulk(c, Way::to_guest, 1, 4);
  measure_bulk(c, Way::to_guest, 64, 6);
  c.values[8].push_back(new_connections(c.port, connecting_time));
  const Spread direct = spread_of(round_trips_us(to_unix(socket), round_trips));
  const Spread through = spread_of(round_trips_us(to_tcp(c.port), round_trips));
  c.values[9].push_back(through.median - direct.median);
  c.values[10].push_back(through.p99 - direct.p99);
}

void print_work(const std::vector<Contender>& all, size_t at) {
  const Work& work = works[at];
  std::optional<double> best;
  for (size_t i = 1; i < all.size(); ++i) {
    if (all[i].values[at].empty()) continue;
    const double median = spread_of(all[i].values[at]).median;
    if (!best || (work.more_is_better ? median > *best : median < *best)) best = median;
  }
  std::printf("\n%-34s %10s %10s %10s   %s\n", work.name, "min", "median", "max", "to the best peer");
  for (const auto& c : all) {
    if (c.values[at].empty()) continue;
    const Spread s = spread_of(c.values[at]);
    std::printf("  %-32s %10.3f %10.3f %10.3f %-6s %.2f x\n", c.forwarder.name.c_str(), s.min, s.median, s.max,
                work.unit, s.median / best.value_or(s.median));
  }
}

void measure_idle(const std::vector<Contender>& all, const std::string& socket, const std::string& directory) {
  std::printf("\n%-34s %10s %10s\n", "idle connections", "number", "B each");
  uint16_t port = first_port + 100;
  for (const auto& c : all) {
    now_measuring(c.forwarder.name);
    const Running fresh(c.forwarder, ++port, socket, directory);
    { const auto warm = idle_connections(to_tcp(port), 1); }
    const uint64_t before = fresh.resident_bytes();
    const auto clients = idle_connections(to_tcp(port), c.forwarder.most_idle);
    const uint64_t after = fresh.resident_bytes();
    std::printf("  %-32s %10d %10.0f\n", c.forwarder.name.c_str(), c.forwarder.most_idle,
                static_cast<double>(after - std::min(before, after)) / c.forwarder.most_idle);
    std::fflush(stdout);
  }
}

// A directory for this run, gone afterwards.
struct Scratch {
  Scratch() {
    if (::mkdtemp(path.data()) == nullptr) give_up(path);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(path); }
  std::string path = "/tmp/mvm-port-bench-XXXXXX";
};

}  // namespace

// mvm-port-bench [ROUNDS [NAME...]]: 9 rounds, all that are here.
int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 9;
  const Scratch scratch;
  const std::string socket = scratch.path + "/backend";
  start_backend(socket);
  std::vector<Contender> all;
  for (auto& forwarder : forwarders()) {
    const bool named = std::find(argv + std::min(argc, 2), argv + argc, forwarder.name) != argv + argc;
    if (argc > 2 && !named) continue;
    Contender c{std::move(forwarder), static_cast<uint16_t>(first_port + all.size()), nullptr, {}};
    const std::string directory = scratch.path + "/" + std::to_string(c.port);
    std::filesystem::create_directory(directory);
    c.running = std::make_unique<Running>(c.forwarder, c.port, socket, directory);
    std::printf("%-24s %s\n", c.forwarder.name.c_str(), c.forwarder.version.c_str());
    all.push_back(std::move(c));
  }
  std::fflush(stdout);
  for (int round = 0; round < rounds; ++round) {
    for (auto& c : all) {
      now_measuring(c.forwarder.name);
      if (!c.running->alive()) {
        note("ended by itself; started again");
        c.running.reset();
        c.running = std::make_unique<Running>(c.forwarder, c.port, socket, scratch.path + "/" + std::to_string(c.port));
      }
      measure_round(c, socket);
    }
  }
  for (size_t at = 0; at < work_count; ++at) print_work(all, at);
  for (auto& c : all) c.running.reset();
  std::fflush(stdout);
  const std::string directory = scratch.path + "/idle";
  std::filesystem::create_directory(directory);
  measure_idle(all, socket, directory);
  return 0;
}
