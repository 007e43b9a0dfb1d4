// SPDX-License-Identifier: Apache-2.0
#include "forward/served_ports.hpp"

#include "unit/base/temp_dir.hpp"
#include "unit/forward/sockets_for_test.hpp"

using namespace mvm;
using namespace mvm::host;
using namespace mvm::test;

namespace {

using Ports = std::set<uint32_t>;

// A hypervisor that is told of the ports: what it listens on, and each time that it was told. Applies at once, unless
// held.
class Listeners {
 public:
  ServedPorts::Apply apply() {
    return [this](const std::vector<PortChange>& changes, std::function<void()> done) {
      {
        const std::lock_guard lock(mutex_);
        for (const PortChange& change : changes) {
          must(change.served ? listening_.insert(change.port).second : listening_.erase(change.port) == 1);
        }
        told_.push_back(changes);
        if (held_) waiting_ = std::exchange(done, nullptr);
        changed_.notify_all();
      }
      if (done) done();
    };
  }

  // Leaves the next change unfinished, until its done is fetched.
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  std::function<void()> release() {
    std::unique_lock lock(mutex_);
    must(changed_.wait_for(lock, deadline, [this] { return waiting_ != nullptr; }));
    held_ = false;
    return std::exchange(waiting_, nullptr);
  }

  bool comes_to(const Ports& ports) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, deadline, [&] { return listening_ == ports; });
  }
  Ports listening() {
    const std::lock_guard lock(mutex_);
    return listening_;
  }
  std::vector<std::vector<PortChange>> told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  Ports listening_;
  std::vector<std::vector<PortChange>> told_;
  std::function<void()> waiting_;
  bool held_ = false;
};

// On its loop, as the runner has it.
class Watch {
 public:
  Watch(const TempDir& dir, Listeners& hypervisor, size_t max_ports = max_served_ports)
      : ports_(loop_.run([&] {
          return ServedPorts::watch(loop_.loop(), dir / "vsock.sock", hypervisor.apply(), max_ports).value();
        })) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() {
    loop_.run([this] { ports_.reset(); });
  }

  // Whatever came before this was looked at, or the kernel has not told of it yet.
  void run(std::function<void()> fn) { loop_.run(std::move(fn)); }
  void end() {
    loop_.run([this] { ports_.reset(); });
  }

 private:
  LoopThread loop_;
  std::shared_ptr<ServedPorts> ports_;
};

}  // namespace

TEST_CASE("vsock.sock_P stands for port P, written as people write numbers") {
  CHECK(parse_port_socket("vsock.sock", "vsock.sock_1") == 1u);
  CHECK(parse_port_socket("vsock.sock", "vsock.sock_0") == 0u);
  CHECK(parse_port_socket("vsock.sock", "vsock.sock_1024") == 1024u);
  CHECK(parse_port_socket("vsock.sock", "vsock.sock_4294967294") == 4294967294u);
  CHECK(parse_port_socket("v", "v_52") == 52u);
}

TEST_CASE("no other name beside vsock.sock stands for a port") {
  for (const std::string_view name : {"",
                                      "_",
                                      "vsock.sock",
                                      "vsock.sock_",
                                      "vsock.sock__1",
                                      "vsock.sock1",
                                      "vsock.sock_01",
                                      "vsock.sock_00",
                                      "vsock.sock_+1",
                                      "vsock.sock_-1",
                                      "vsock.sock_ 1",
                                      "vsock.sock_1 ",
                                      "vsock.sock_1.",
                                      "vsock.sock_0x10",
                                      "vsock.sock_1e3",
                                      "vsock.sock_4294967295",
                                      "vsock.sock_4294967296",
                                      "vsock.sock_18446744073709551617",
                                      "vsock.sock_99999999999999999999999999",
                                      "vsock.sock_1024~",
                                      "vsock.sock_x",
                                      "Vsock.sock_1",
                                      "xvsock.sock_1",
                                      "vsock.soc_1",
                                      "control.sock_1"}) {
    INFO(name);
    CHECK_FALSE(parse_port_socket("vsock.sock", name).has_value());
  }
  CHECK_FALSE(parse_port_socket("vsock.sock", std::string_view("vsock.sock_1\0", 13)).has_value());
}

TEST_CASE("the sockets that are there first are told of at once, and nothing else that lies there") {
  const TempDir dir;
  const UniqueFd one = unix_listener(dir / "vsock.sock_7");
  const UniqueFd other = unix_listener(dir / "vsock.sock_4294967294");
  const UniqueFd own = unix_listener(dir / "vsock.sock");
  const UniqueFd rubbish = unix_listener(dir / "vsock.sock_007");
  dir.write("vsock.sock_8", "a file");
  std::filesystem::create_directory(dir / "vsock.sock_9");
  std::filesystem::create_symlink("nowhere", dir / "vsock.sock_10");
  std::filesystem::create_symlink("vsock.sock_7", dir / "vsock.sock_11");  // as good as what it leads to
  Listeners hypervisor;
  const Watch watch(dir, hypervisor);
  CHECK(hypervisor.listening() == Ports{7, 11, 4294967294});
}

TEST_CASE("a socket that comes is told of, and one that goes, and one that is renamed is both") {
  const TempDir dir;
  Listeners hypervisor;
  const Watch watch(dir, hypervisor);
  CHECK(hypervisor.told().empty());
  const UniqueFd listener = unix_listener(dir / "vsock.sock_7");
  CHECK(hypervisor.comes_to({7}));
  std::filesystem::rename(dir / "vsock.sock_7", dir / "vsock.sock_8");
  CHECK(hypervisor.comes_to({8}));
  const UniqueFd other = unix_listener(dir / "elsewhere");
  std::filesystem::rename(dir / "elsewhere", dir / "vsock.sock_9");
  CHECK(hypervisor.comes_to({8, 9}));
  std::filesystem::remove(dir / "vsock.sock_8");
  CHECK(hypervisor.comes_to({9}));
}

TEST_CASE("no more ports than the limit are listened on at once, and the next has its turn when one goes") {
  const TempDir dir;
  std::vector<UniqueFd> listeners;
  for (const int port : {30, 10, 20}) listeners.push_back(unix_listener(dir / ("vsock.sock_" + std::to_string(port))));
  Listeners hypervisor;
  const Watch watch(dir, hypervisor, 2);
  CHECK(hypervisor.listening() == Ports{10, 20});
  listeners.push_back(unix_listener(dir / "vsock.sock_5"));  // does not push out one that is served
  std::filesystem::remove(dir / "vsock.sock_10");
  CHECK(hypervisor.comes_to({5, 20}));
  std::filesystem::remove(dir / "vsock.sock_20");
  CHECK(hypervisor.comes_to({5, 30}));
}

TEST_CASE("what comes and goes while the hypervisor is busy is told of once, as it is in the end") {
  const TempDir dir;
  Listeners hypervisor;
  hypervisor.hold();
  Watch watch(dir, hypervisor);
  const UniqueFd first = unix_listener(dir / "vsock.sock_1");
  const auto done = hypervisor.release();
  for (int i = 0; i < 200; ++i) {
    const UniqueFd brief = unix_listener(dir / "vsock.sock_2");
    std::filesystem::remove(dir / "vsock.sock_2");
  }
  const UniqueFd last = unix_listener(dir / "vsock.sock_3");
  CHECK(hypervisor.told().size() == 1);
  watch.run(done);
  CHECK(hypervisor.comes_to({1, 3}));
  CHECK(hypervisor.told() == std::vector<std::vector<PortChange>>{{{1, true}}, {{3, true}}});
}

TEST_CASE("a socket that is replaced by another of its name is listened on all the time") {
  const TempDir dir;
  Listeners hypervisor;
  const Watch watch(dir, hypervisor);
  UniqueFd listener = unix_listener(dir / "vsock.sock_7");
  REQUIRE(hypervisor.comes_to({7}));
  const UniqueFd next = unix_listener(dir / "next");
  std::filesystem::rename(dir / "next", dir / "vsock.sock_7");
  const UniqueFd another = unix_listener(dir / "vsock.sock_8");  // what is seen of it was seen of the other
  CHECK(hypervisor.comes_to({7, 8}));
  CHECK(hypervisor.told() == std::vector<std::vector<PortChange>>{{{7, true}}, {{8, true}}});
}

TEST_CASE("once it is gone nothing is told, and a hypervisor that answers late harms nobody") {
  const TempDir dir;
  Listeners hypervisor;
  hypervisor.hold();
  Watch watch(dir, hypervisor);
  const UniqueFd first = unix_listener(dir / "vsock.sock_1");
  const auto done = hypervisor.release();
  watch.end();
  const UniqueFd second = unix_listener(dir / "vsock.sock_2");
  watch.run(done);
  CHECK(hypervisor.listening() == Ports{1});
}

TEST_CASE("a directory that cannot be watched is named") {
  const TempDir dir;
  boost::asio::io_context loop(1);
  const auto ports = ServedPorts::watch(loop, dir / "none" / "vsock.sock", [](auto&&...) {});
  REQUIRE_FALSE(ports);
  CHECK(ports.error().message == (dir / "none").string() + ": cannot be watched: No such file or directory");
}
