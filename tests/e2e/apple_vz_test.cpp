// SPDX-License-Identifier: Apache-2.0
// A VM's whole life with apple-vz, as it is on Linux: the plugin's own sources on a double of Apple's framework
// (tests/vz_double).
#include <csignal>
#include <fstream>
#include <thread>

#include <sys/socket.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

Args vz_arguments(const std::string& name, const Args& more = {}) {
  Args all = {"boot", name, "--plugin", MVM_E2E_APPLE_VZ, "--kernel", MVM_E2E_VZ_KERNEL};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

void must_boot_vz(const Sandbox& box, const std::string& name, const Args& more = {}) {
  const Outcome outcome = box.run(vz_arguments(name, more));
  INFO(outcome.err);
  REQUIRE(outcome.exit_code == 0);
}

// A first boot's words when it is refused; nothing is left of the VM but its record.
std::string refusal(const Sandbox& box, const Args& more, int exit_code = 1) {
  const Outcome outcome = box.run(vz_arguments("demo", more));
  CHECK(outcome.exit_code == exit_code);
  CHECK(box.processes().empty());
  box.run({"rm", "demo"});
  return outcome.err;
}

std::string ask_guest(const Sandbox& box, const std::string& commands) {
  return box.must({"vsock-connect", "demo", "2049"}, {.input = commands}).out;
}

// The socket of the VM's that a guest reaches by connecting to `port` of the host.
fs::path host_port(const Sandbox& box, const std::string& port) {
  return box.field("demo", "vsock_socket") + "_" + port;
}

// What the guest reads when it connects to `port` of the host and says nothing.
std::string dial(const Sandbox& box, const std::string& port) {
  return box.run({"vsock-connect", "demo", "2050"}, {.input = "DIAL " + port + "\n"}).out;
}

bool is_refused(const Sandbox& box, const std::string& port) { return dial(box, port) == "ERR refused\n"; }

// Greets whoever connects, until it goes; the socket goes with it.
class Greeter {
 public:
  explicit Greeter(fs::path path)
      : path_(std::move(path)), listener_(listen_unix(path_)), thread_([this] { greet(); }) {}
  Greeter(const Greeter&) = delete;
  Greeter& operator=(const Greeter&) = delete;
  ~Greeter() {
    fs::remove(path_);
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

 private:
  void greet() {
    for (;;) {
      const Fd client(::accept(listener_.get(), nullptr, nullptr));
      if (!client) return;
      send_all(client, "welcome");
    }
  }

  fs::path path_;
  Fd listener_;
  std::thread thread_;
};

}  // namespace

// macOS has clonefile for that.
TEST_CASE("a hypervisor without overlays refuses one, and says what to use", "[e2e][apple-vz]") {
  const Sandbox box;
  const fs::path image = box.disk("root.img", 1 << 20);
  CHECK_THAT(refusal(box, {"--rootfs", image, "--rootfs-mode", "overlay"}, 5),
             ContainsSubstring("--rootfs-mode overlay: apple-vz cannot lay a disk over an image: use clone"));
}

TEST_CASE("apple-vz: a VM's whole life", "[e2e][apple-vz]") {
  const Sandbox box;
  const fs::path disk = box.disk("root.img", 1 << 20);
  const fs::path data = box.directory("data");
  box.write("data/hello", "from the host");
  must_boot_vz(box, "demo",
               {"--rootfs", disk, "--share", data, "--cpus", "2", "--memory", "256M", "--option", "disk-sync=full"});
  CHECK(box.field("demo", "hypervisor") == "apple-vz");
  CHECK(box.state("demo") == "running");
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
  CHECK(ask_guest(box, "LIST\nREAD data hello\n") == "OK 1\ndata ro\nOK 13\nfrom the host");
  box.must({"share-dir", "demo", box.directory("work"), "--rw"});
  CHECK(ask_guest(box, "WRITE 3 work new\nabc") == "OK 3\n");
  CHECK(slurp(box.root() / "work" / "new") == "abc");
  box.must({"unshare-dir", "demo", "work"});
  box.must({"pause", "demo"});
  CHECK(box.state("demo") == "paused");
  box.must({"resume", "demo"});
  CHECK_THAT(box.must({"logs", "demo"}).out, ContainsSubstring("rootfs.img"));
  box.must({"stop", "demo"});
  CHECK(box.state("demo") == "stopped");
  box.must({"rm", "demo"});
  CHECK(box.processes().empty());
}

TEST_CASE("apple-vz: a published page is fetched", "[e2e][apple-vz]") {
  const Sandbox box;
  const std::string port = std::to_string(free_port());
  must_boot_vz(box, "demo", {"--publish", port + ":80"});
  const Outcome page = box.run_program({"curl", "-s", "http://127.0.0.1:" + port + "/"});
  CHECK_THAT(page.out, ContainsSubstring("Hello from the mock guest "));
}

TEST_CASE("apple-vz: a boot after a stop is the same machine on the same disk", "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo", {"--rootfs", box.disk("root.img", 1 << 20)});
  const auto identifier = [&] {
    for (const auto& entry : fs::recursive_directory_iterator(box.vm("demo"))) {
      if (entry.path().extension() == ".machine-identifier") return slurp(entry.path());
    }
    return std::string();
  };
  const std::string first = identifier();
  CHECK_FALSE(first.empty());
  box.must({"stop", "demo"});
  box.must({"boot", "demo", "--plugin", MVM_E2E_APPLE_VZ});
  CHECK(box.state("demo") == "running");
  CHECK(identifier() == first);
}

TEST_CASE("apple-vz: a runner that is killed takes its VM along, and the name boots again", "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo", {"--rootfs", box.disk("root.img", 1 << 20)});
  box.kill_runner("demo");
  CHECK(box.state("demo") == "crashed");
  box.must({"boot", "demo", "--plugin", MVM_E2E_APPLE_VZ});
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
}

TEST_CASE("apple-vz: a guest that powers itself off, and a framework that gives up, are in the record",
          "[e2e][apple-vz]") {
  Sandbox box;
  must_boot_vz(box, "demo", {"--cmdline", "console=hvc0 simulated.exit-after=\"50\""});
  CHECK(box.run({"wait", "demo"}).exit_code == 0);
  CHECK(box.state("demo") == "stopped");
  box.set_environment("MVM_VZ_DOUBLE", "error-after=50");
  must_boot_vz(box, "other");
  box.run({"wait", "other"});
  CHECK(box.state("other") == "crashed");
  CHECK_THAT(box.field("other", "last_error"), ContainsSubstring("VZErrorDomain 1 (VZErrorInternal)"));
}

TEST_CASE("apple-vz: a guest that ignores its power button is stopped in the end", "[e2e][apple-vz]") {
  Sandbox box;
  box.set_environment("MVM_VZ_DOUBLE", "ignore-request-stop=1");
  must_boot_vz(box, "demo");
  box.must({"stop", "demo", "--timeout", "1s"});
  CHECK(box.state("demo") == "stopped");
}

TEST_CASE("apple-vz: what it cannot boot is refused by name, with what to do", "[e2e][apple-vz]") {
  Sandbox box;
  CHECK_THAT(refusal(box, {"--memory", "512M", "--option", "nested=maybe"}, 2),
             ContainsSubstring("option nested: \"maybe\" is not yes or no"));
  CHECK_THAT(refusal(box, {"--share", box.directory("data").string() + ":mvm"}, 2),
             ContainsSubstring("share mvm: this tag is the hypervisor's own"));
  box.set_environment("MVM_VZ_DOUBLE", "no-entitlement=1");
  CHECK_THAT(refusal(box, {}), ContainsSubstring("com.apple.security.virtualization"));
  box.set_environment("MVM_VZ_DOUBLE", "");
  box.set_environment("MVM_VZ_DOUBLE_MACOS", "12.3");
  CHECK_THAT(refusal(box, {"--option", "nested=yes"}, 5), ContainsSubstring("take macOS 15"));
}

TEST_CASE("apple-vz: a boot that is stopped while the framework starts the machine ends", "[e2e][apple-vz]") {
  Sandbox box;
  box.set_environment("MVM_VZ_DOUBLE", "never=start");
  Process boot = box.start(vz_arguments("demo"));
  REQUIRE(eventually([&] { return box.state("demo") == "starting" && box.pid("demo") > 1; }));
  CHECK(box.run({"stop", "demo", "--force"}).exit_code == 0);
  CHECK(boot.wait(10s).exit_code == 1);
  CHECK(box.processes().empty());
}

TEST_CASE("apple-vz: a listener that stands before the boot gets the guest's first call, both ways",
          "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo");
  const fs::path path = host_port(box, "52");
  box.must({"stop", "demo"});
  fs::create_directories(path.parent_path());
  fs::permissions(path.parent_path(), fs::perms::owner_all);
  const Fd listener = listen_unix(path);
  box.must({"boot", "demo", "--plugin", MVM_E2E_APPLE_VZ});
  Process guest = box.start({"vsock-connect", "demo", "2050"});
  guest.write("DIAL 52\nhello host");
  const Fd accepted = accept_one(listener);
  CHECK(receive(accepted, 10) == "hello host");
  send_all(accepted, "hello guest");
  guest.end_input();
  CHECK(receive_to_end(accepted).empty());  // the half-close arrives
  end_sending(accepted);
  CHECK(guest.wait(10s).out == "hello guest");
  box.must({"stop", "demo"});
  CHECK(fs::exists(path));  // not ours to remove
  fs::remove(path);
}

TEST_CASE("apple-vz: a listener that comes while the VM runs is reached, and refused once it has gone",
          "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo");
  CHECK(is_refused(box, "1234"));
  for (int time = 0; time < 2; ++time) {
    {
      const Greeter greeter(host_port(box, "1234"));
      CHECK(eventually([&] { return dial(box, "1234") == "welcome"; }));
      CHECK(is_refused(box, "1235"));
    }
    CHECK(is_refused(box, "1234"));
  }
  box.must({"stop", "demo"});
}

TEST_CASE("apple-vz: what only looks like a port's socket disturbs nobody", "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo");
  const fs::path socket = box.field("demo", "vsock_socket");
  const auto beside = [&](const std::string& end) { return socket.string() + end; };
  std::vector<std::string> names;
  for (const char* end : {"_", "_x", "_-1", "_+7", "_007", "_4294967295", "_99999999999999999999", "_7 ", "~"}) {
    names.push_back(beside(end));
    const Fd closed = listen_unix(names.back());
  }
  names.push_back(beside("_2000"));
  std::ofstream(names.back()) << "a file";
  names.push_back(beside("_2001"));
  fs::create_directory(names.back());
  {
    const Greeter greeter(host_port(box, "7"));
    CHECK(eventually([&] { return dial(box, "7") == "welcome"; }));
    CHECK(is_refused(box, "2000"));
    CHECK(is_refused(box, "2001"));
  }
  for (const auto& name : names) fs::remove(name);
  CHECK(slurp(box.vm("demo") / "runner.log").find("guest_listen") == std::string::npos);
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello\n"}).out == "hello\n");
}

TEST_CASE("apple-vz: listeners that come and go quickly disturb nobody", "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo");
  const fs::path brief = host_port(box, "1");
  {
    const Greeter greeter(host_port(box, "2"));
    for (int i = 0; i < 500; ++i) {
      const Fd listener = listen_unix(brief);
      fs::remove(brief);
    }
    CHECK(eventually([&] { return dial(box, "2") == "welcome"; }));
    CHECK(is_refused(box, "1"));
    const Greeter again(brief);
    CHECK(eventually([&] { return dial(box, "1") == "welcome"; }));
  }
  CHECK(slurp(box.vm("demo") / "runner.log").find("guest_listen") == std::string::npos);
  box.must({"stop", "demo"});
}

TEST_CASE("apple-vz: of more than 1,024 listeners the others wait until one goes, and the log says so",
          "[e2e][apple-vz]") {
  const Sandbox box;
  must_boot_vz(box, "demo");
  const std::string socket = box.field("demo", "vsock_socket");
  const fs::path directory = fs::path(socket).parent_path();
  const auto port_socket = [&](int port) { return socket + "_" + std::to_string(port); };
  const fs::path greets = directory / "greeter";
  {
    const Greeter greeter(greets);
    for (int port = 1; port <= 1024; ++port) fs::create_symlink(greets, port_socket(port));
    REQUIRE(eventually([&] { return dial(box, "1024") == "welcome"; }));
    fs::create_symlink(greets, port_socket(2000));
    const auto log = [&] { return slurp(box.vm("demo") / "runner.log"); };
    REQUIRE(eventually([&] { return log().find("vsock.sock_P: 1025 sockets") != std::string::npos; }));
    CHECK(is_refused(box, "2000"));
    fs::remove(port_socket(3));
    CHECK(eventually([&] { return dial(box, "2000") == "welcome"; }));
    CHECK(is_refused(box, "3"));
    for (int port = 1; port <= 1024; ++port) fs::remove(port_socket(port));
    fs::remove(port_socket(2000));
  }
  box.must({"stop", "demo"});
  CHECK_FALSE(fs::exists(directory));
}

}  // namespace mvm::test
