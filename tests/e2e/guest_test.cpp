// SPDX-License-Identifier: Apache-2.0
// The binary with a real kernel in its hands: the guest of scripts/make-guest, booted by the qemu plugin. Without KVM
// each boot takes a processor some seconds.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "e2e/support/sandbox.hpp"

namespace mvm::test {
namespace {

const fs::path guest = fs::path(MVM_TEST_GUESTS) / "plain";
constexpr auto boot_deadline = 90s;

Args guest_arguments(const std::string& name, const Args& more = {}) {
  Args all = {"--hypervisor",          "qemu",     "boot", name,     "--kernel", guest / "vmlinuz", "--initrd",
              guest / "initramfs.img", "--memory", "192M", "--cpus", "1"};
  // Without KVM a busy machine may be too slow for the kernel's check of its timer, which then panics; and its tests of
  // its ciphers take a second.
  const auto says = [&](const char* option) { return std::find(more.begin(), more.end(), option) != more.end(); };
  if (!says("--cmdline") && !says("--rootfs")) {
    all.insert(all.end(), {"--cmdline", "console=ttyS0 no_timer_check cryptomgr.notests"});
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Outcome boot_guest(const Sandbox& box, const std::string& name, const Args& more = {}) {
  return box.run(guest_arguments(name, more), {.deadline = boot_deadline});
}

void must_boot_guest(const Sandbox& box, const std::string& name, const Args& more = {}) {
  const Outcome booted = boot_guest(box, name, more);
  INFO(booted.err);
  REQUIRE(booted.exit_code == 0);
}

// Waits for the shell to listen: the guest is up then.
std::string in_guest(const Sandbox& box, const std::string& name, const std::string& command) {
  const Outcome outcome = box.run({"vsock-connect", name, "1022", "--timeout", "80s"},
                                  {.input = command + "\n", .deadline = boot_deadline});
  INFO(outcome.err);
  REQUIRE(outcome.exit_code == 0);
  return outcome.out;
}

// Until the mounts that the guest makes by itself are as the command wants to see them.
bool comes_true_in_guest(const Sandbox& box, const std::string& name, const std::string& condition) {
  return eventually([&] { return in_guest(box, name, condition + " && echo so") == "so\n"; }, 60s);
}

std::string console(const Sandbox& box, const std::string& name) { return slurp(box.vm(name) / "console.log"); }

}  // namespace

TEST_CASE("a guest's whole life: its shell, its web server, a share, its power button", "[e2e][guest]") {
  const Sandbox box;
  const fs::path shared = box.directory("src");
  std::ofstream(shared / "hello.txt") << "hello\n";
  const uint16_t port = free_port();
  must_boot_guest(box, "demo", {"--rootfs", guest / "rootfs.ext4", "--publish", std::to_string(port) + ":80"});
  CHECK_THAT(in_guest(box, "demo", "cat /proc/cmdline; uname -s"),
             ContainsSubstring("root=/dev/vda rw init=/init") && ContainsSubstring("Linux"));

  const Fd client = connect_tcp(port);
  send_all(client, "GET / HTTP/1.0\r\n\r\n");
  CHECK_THAT(receive_to_end(client), ContainsSubstring("200 OK") && ContainsSubstring("Hello from the guest"));

  box.must({"share-dir", "demo", shared, "--tag", "src", "--rw"});
  REQUIRE(comes_true_in_guest(box, "demo", "[ -f /mnt/src/hello.txt ]"));
  CHECK(in_guest(box, "demo", "cat /mnt/src/hello.txt; echo from the guest > /mnt/src/back.txt") == "hello\n");
  CHECK(slurp(shared / "back.txt") == "from the guest\n");
  box.must({"unshare-dir", "demo", "src"});
  CHECK(comes_true_in_guest(box, "demo", "[ ! -e /mnt/src/hello.txt ]"));

  CHECK(in_guest(box, "demo", "echo kept > /root/kept; sync") == "");
  box.must({"stop", "demo"}, {.deadline = boot_deadline});
  CHECK(box.field("demo", "exit_reason") == "host-stop");
  CHECK_THAT(console(box, "demo"), ContainsSubstring("reboot: Power down"));
  box.must({"boot", "demo"}, {.deadline = boot_deadline});
  CHECK(in_guest(box, "demo", "cat /root/kept") == "kept\n");
  box.must({"stop", "demo", "--force"});
}

TEST_CASE("a hundred clients that come to a guest at the same moment are all served", "[e2e][guest]") {
  const Sandbox box;
  const uint16_t port = free_port();
  must_boot_guest(box, "demo", {"--rootfs", guest / "rootfs.ext4", "--publish", std::to_string(port) + ":80"});
  in_guest(box, "demo", "true");
  std::vector<Fd> clients;
  for (int i = 0; i < 100; ++i) {
    clients.push_back(connect_tcp(port));
    REQUIRE(clients.back());
    send_all(clients.back(), "GET / HTTP/1.0\r\n\r\n");
  }
  for (const auto& client : clients) CHECK_THAT(receive_to_end(client), ContainsSubstring("Hello from the guest"));
  CHECK(json_value(box.inspect("demo"), "refused") == "0");
  box.must({"stop", "demo", "--force"});
}

TEST_CASE("two guests live beside each other, and neither notices the other's end", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "one");
  must_boot_guest(box, "two");
  CHECK_THAT(in_guest(box, "one", "echo I am one"), ContainsSubstring("I am one"));
  CHECK_THAT(in_guest(box, "two", "echo I am two"), ContainsSubstring("I am two"));
  CHECK(box.must({"vsock-connect", "two", "7"}, {.input = "hello"}).out == "hello");
  box.kill_runner("one");
  CHECK(box.state("one") == "crashed");
  CHECK(box.must({"vsock-connect", "two", "7"}, {.input = "still here"}).out == "still here");
  box.must({"stop", "two"}, {.deadline = boot_deadline});
}

TEST_CASE("ten boots in a row, each answered and each stopped by its power button", "[e2e][guest]") {
  const Sandbox box;
  for (int n = 0; n < 10; ++n) {
    INFO("boot " << n);
    must_boot_guest(box, "demo");
    CHECK(in_guest(box, "demo", "echo up") == "up\n");
    box.must({"stop", "demo"}, {.deadline = boot_deadline});
    REQUIRE(box.field("demo", "exit_reason") == "host-stop");
    REQUIRE(box.processes().empty());
  }
}

TEST_CASE("a guest that panics is crashed, and the error has its console's last words", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo", {"--cmdline", "console=ttyS0 mvm.test=panic"});
  CHECK(box.run({"wait", "demo"}, {.deadline = boot_deadline}).exit_code == 1);
  CHECK(box.state("demo") == "crashed");
  CHECK(box.field("demo", "exit_reason") == "guest-panic");
  CHECK_THAT(box.field("demo", "last_error"), ContainsSubstring("Kernel panic - not syncing: sysrq triggered crash"));
}

TEST_CASE("a rootfs without init is a panic, and the error says which program was missed", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo",
                  {"--rootfs", guest / "rootfs.ext4", "--cmdline", "console=ttyS0 root=/dev/vda init=/nowhere"});
  CHECK(box.run({"wait", "demo"}, {.deadline = boot_deadline}).exit_code == 1);
  CHECK_THAT(box.field("demo", "last_error"), ContainsSubstring("Attempted to kill init"));
  CHECK_THAT(console(box, "demo"), ContainsSubstring("init=/nowhere: there is none"));
}

TEST_CASE("a guest that powers itself off or reboots has stopped, and the record says which", "[e2e][guest]") {
  const Sandbox box;
  for (const auto& [hook, reason] : {std::pair{"poweroff", "guest-shutdown"}, std::pair{"reboot", "guest-reset"}}) {
    must_boot_guest(box, "demo", {"--cmdline", std::string("console=ttyS0 mvm.test=") + hook});
    CHECK(box.run({"wait", "demo"}, {.deadline = boot_deadline}).exit_code == 0);
    CHECK(box.field("demo", "exit_reason") == reason);
  }
}

TEST_CASE("a guest that ignores its power button is stopped by force after the grace", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo", {"--cmdline", "console=ttyS0 mvm.test=ignore-power-button"});
  CHECK(in_guest(box, "demo", "echo up") == "up\n");
  box.must({"stop", "demo", "--timeout", "3s"});
  CHECK(box.state("demo") == "stopped");
  CHECK(box.processes().empty());
}

TEST_CASE("a stop that comes while the guest still boots shuts it down all the same", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo");
  box.must({"stop", "demo", "--timeout", "60s"}, {.deadline = boot_deadline});
  CHECK_THAT(console(box, "demo"), ContainsSubstring("reboot: Power down"));
}

TEST_CASE("whatever is killed, no process of the VM stays, and its name boots again", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo", {"--share", box.directory("data").string()});
  CHECK(in_guest(box, "demo", "echo up") == "up\n");
  SECTION("the runner") {
    box.kill_runner("demo");
    CHECK(box.state("demo") == "crashed");
    CHECK_THAT(box.field("demo", "last_error"), ContainsSubstring("ended without a word"));
  }
  SECTION("what runs the guest") {
    REQUIRE(::kill(std::stoi(box.field("demo", "hypervisor_pid")), SIGKILL) == 0);
    CHECK(box.run({"wait", "demo"}).exit_code == 1);
    CHECK(box.field("demo", "exit_reason") == "killed");
    CHECK_THAT(box.field("demo", "last_error"), ContainsSubstring("SIGKILL"));
  }
  CHECK(eventually([&] { return box.processes().empty(); }));
  box.must({"boot", "demo"}, {.deadline = boot_deadline});
  CHECK(in_guest(box, "demo", "echo again") == "again\n");
  box.must({"stop", "demo", "--force"});
}

TEST_CASE("a share is read-only to a guest unless it was asked for", "[e2e][guest]") {
  const Sandbox box;
  const fs::path data = box.directory("data");
  std::ofstream(data / "file") << "as it was\n";
  must_boot_guest(box, "demo", {"--share", data.string() + ":data"});
  REQUIRE(comes_true_in_guest(box, "demo", "[ -f /mnt/data/file ]"));
  CHECK_THAT(
      in_guest(box, "demo", "echo x > /mnt/data/file; rm /mnt/data/file; touch /mnt/data/new; cat /mnt/data/file"),
      ContainsSubstring("Read-only file system") && ContainsSubstring("as it was"));
  CHECK(slurp(data / "file") == "as it was\n");
  CHECK_FALSE(fs::exists(data / "new"));
  box.must({"stop", "demo", "--force"});
}

TEST_CASE("a guest reaches what listens on vsock.sock_P, and is refused elsewhere", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo");
  in_guest(box, "demo", "true");
  const Fd listener = listen_unix(box.field("demo", "vsock_socket") + "_6000");
  Process call = box.start({"vsock-connect", "demo", "1022"});
  call.write(
      "echo to the host | socat -t 10 - VSOCK-CONNECT:2:6000; socat -u VSOCK-CONNECT:2:6001 - 2>&1; echo done\n");
  call.end_input();
  const Fd stream = accept_one(listener);
  CHECK(receive_line(stream) == "to the host");
  send_all(stream, "to the guest\n");
  end_sending(stream);
  const Outcome said = call.wait(60s);
  CHECK_THAT(said.out, ContainsSubstring("to the guest") && ContainsSubstring("done"));
  CHECK_THAT(said.out, ContainsSubstring("Connection reset by peer") || ContainsSubstring("refused"));
  fs::remove(box.field("demo", "vsock_socket") + "_6000");
  box.must({"stop", "demo", "--force"});
}

// ---- hostile guests

namespace {

// The contract suite's guest takes commands (tests/guest/README.md).
Process tell_guest(const Sandbox& box, const std::string& command) {
  Process process = box.start({"vsock-connect", "demo", "2051", "--timeout", "80s"});
  process.write(command + "\n");
  return process;
}

bool echoes(const Sandbox& box) { return box.run({"vsock-connect", "demo", "7"}, {.input = "hello"}).out == "hello"; }

// Takes everybody who connects, on a thread of its own, and holds them.
class Host {
 public:
  explicit Host(const std::string& path)
      : listener_(listen_unix(path)), thread_([this] {
          while (!ended_ || readable(listener_.get(), 0ms)) {
            if (readable(listener_.get(), 100ms)) held_.push_back(accept_one(listener_));
          }
        }) {}
  size_t end() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
    return held_.size();
  }
  ~Host() { end(); }

 private:
  const Fd listener_;
  std::vector<Fd> held_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

void raise_own_descriptor_limit() {
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// What the kernel has of the process in memory.
long resident_mib(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6)) / 1024;
  }
  return -1;
}

}  // namespace

TEST_CASE("a guest that floods its host, connects ten thousand times, or fills its rings with nonsense, harms nobody",
          "[e2e][guest]") {
  raise_own_descriptor_limit();
  const Sandbox box;
  const fs::path contract = fs::path(MVM_TEST_GUESTS) / "contract";
  // So few descriptors that they are what runs short.
  box.must(
      {"--hypervisor", "qemu", "boot", "demo", "--kernel", contract / "vmlinuz", "--initrd", contract / "initramfs.img",
       "--memory", "256M", "--cpus", "1", "--cmdline", "console=ttyS0 quiet no_timer_check cryptomgr.notests"},
      {.deadline = boot_deadline, .prefix = {"prlimit", "--nofile=4096:4096"}});
  const std::string socket = box.field("demo", "vsock_socket");
  box.must({"vsock-connect", "demo", "7", "--timeout", "80s"}, {.deadline = boot_deadline});

  // One sends blocks, one single bytes, and each reads as little as its host does.
  const Fd blocks_port = listen_unix(socket + "_6000"), bytes_port = listen_unix(socket + "_6001");
  Process blocks = tell_guest(box, "flood 6000 65536"), bytes = tell_guest(box, "flood 6001 1");
  Fd blocks_end = accept_one(blocks_port), bytes_end = accept_one(bytes_port);
  while (::send(blocks_end.get(), "unread", 6, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
  }
  for (int n = 0; n < 5; ++n) CHECK(echoes(box));
  std::string expected;
  for (int n = 0; n < 20'000; ++n) expected += static_cast<char>(n % 251);
  CHECK((receive(bytes_end, expected.size()) == expected));
  CHECK(resident_mib(box.pid("demo")) < 100);
  blocks_end.reset();
  bytes_end.reset();
  for (Process* flood : {&blocks, &bytes}) {
    CHECK(flood->wait_out("OK "));
    flood->end_input();
    CHECK(flood->wait().exit_code == 0);
  }

  Process talk = box.start({"vsock-connect", "demo", "7"});
  talk.write("before\n");
  REQUIRE(talk.wait_out("before\n"));
  Host host(socket + "_6002");
  Process many = tell_guest(box, "open 6002 10000");
  REQUIRE(many.wait_out("\n", boot_deadline));
  INFO(many.out());
  unsigned open = 0, refused = 0;
  REQUIRE(std::sscanf(many.out().c_str(), "OK %u %u", &open, &refused) == 2);
  CHECK(open + refused == 10'000);
  CHECK(open > 1'000);
  CHECK(refused > 5'000);
  talk.write("meanwhile\n");
  CHECK(talk.wait_out("meanwhile\n"));
  CHECK(echoes(box));  // a new one
  many.end_input();
  CHECK(many.wait().exit_code == 0);
  CHECK(host.end() >= open);  // a guest that is too slow for its own deadline counts one as refused
  CHECK(echoes(box));

  const Process last = tell_guest(box, "flood 6001 1");
  bytes_end = accept_one(bytes_port);
  Process log = box.start({"logs", "demo", "-f"});
  const Process nonsense = tell_guest(box, "garble-vsock 100");
  REQUIRE(log.wait_out("garbled", boot_deadline));
  CHECK(box.state("demo") == "running");
  CHECK(resident_mib(box.pid("demo")) < 100);
  CHECK(fs::file_size(box.vm("demo") / "runner.log") < 100'000);  // each fault is no line
  box.must({"stop", "demo"}, {.deadline = boot_deadline});
  CHECK(box.field("demo", "exit_reason") == "host-stop");
  for (const char* port : {"_6000", "_6001", "_6002"}) fs::remove(socket + port);
}

TEST_CASE("two guests write over one image, each sees its own, and it is as it was", "[e2e][guest]") {
  const Sandbox box;
  const fs::path image = box.root() / "rootfs.ext4";
  fs::copy_file(guest / "rootfs.ext4", image);
  const std::string before = slurp(image);
  for (const char* name : {"one", "two"}) {
    must_boot_guest(box, name, {"--rootfs", image, "--rootfs-mode", "overlay"});
    CHECK(in_guest(box, name, std::string("cat /note 2>/dev/null; echo ") + name + " > /note; sync; cat /note") ==
          std::string(name) + "\n");
  }
  box.must({"stop", "--all"}, {.deadline = boot_deadline});
  const fs::path overlay = box.vm("one") / "rootfs.overlay";
  const Outcome checked = Process({"qemu-img", "check", "-q", overlay}, {"PATH=/usr/bin:/bin"}).wait();
  INFO(checked.out << checked.err);
  CHECK(checked.exit_code == 0);
  CHECK((slurp(image) == before));
  // A mebibyte for what an ext4 notes when it is mounted; a copy would be the image's 19.
  CHECK(allocated_bytes(overlay) < (uint64_t{2} << 20));
  box.must({"boot", "one"}, {.deadline = boot_deadline});
  CHECK(in_guest(box, "one", "cat /note") == "one\n");
}

// Regression: checks of a boot under way failed where the plugin had refused the stand-in kernel at once.
TEST_CASE("the validator without a kernel finds no fault with a plugin that boots none but real ones", "[e2e][guest]") {
  const Sandbox box;
  const fs::path plugin = fs::path(MVM_E2E_MOCK).replace_filename("libmvm-qemu.so");
  const Outcome checked = box.run({"plugin", "check", plugin}, {.deadline = boot_deadline});
  INFO(checked.out << checked.err);
  CHECK(checked.exit_code == 0);
  CHECK_THAT(checked.out, ContainsSubstring("does not boot the stand-in kernel"));
}

TEST_CASE("a paused guest stands still, and goes on", "[e2e][guest]") {
  const Sandbox box;
  must_boot_guest(box, "demo");
  in_guest(box, "demo", "true");
  box.must({"pause", "demo"});
  CHECK_FAILS(box.run({"vsock-connect", "demo", "7"}), 1, "is paused");
  box.must({"resume", "demo"});
  CHECK(box.must({"vsock-connect", "demo", "7"}, {.input = "hello"}).out == "hello");
  box.must({"pause", "demo"});
  box.must({"stop", "demo"}, {.deadline = boot_deadline});
  CHECK(box.field("demo", "exit_reason") == "host-stop");
}

// ---- what cannot be booted

TEST_CASE("a hypervisor's program that is not there, or is none, is named", "[e2e][guest]") {
  const Sandbox box;
  CHECK_FAILS(boot_guest(box, "demo", {"--option", "qemu=/nonexistent/qemu"}), 1, "/nonexistent/qemu");
  const fs::path none = box.write("qemu", "#!/bin/sh\necho no such luck >&2\nexit 1\n");
  fs::permissions(none, fs::perms::owner_all);
  CHECK_FAILS(boot_guest(box, "demo", {"--option", "qemu=" + none.string()}), 1, "no such luck");
  CHECK(box.processes().empty());
}

TEST_CASE("a kernel for another processor is refused by its file", "[e2e][guest]") {
  const Sandbox box;
  std::string elf(
      "\x7f"
      "ELF\x02\x01\x01",
      7);
  elf.resize(4096, '\0');
  elf[16] = 2;
  elf[18] = static_cast<char>(183);  // EM_AARCH64
  const fs::path kernel = box.write("vmlinux-arm64", elf);
  const Outcome booted = box.run({"--hypervisor", "qemu", "boot", "demo", "--kernel", kernel});
  CHECK(booted.exit_code == 2);
  CHECK_THAT(booted.err, ContainsSubstring("vmlinux-arm64") && ContainsSubstring("arm64"));
}

TEST_CASE("an image that is none, or named wrongly, is refused by its file", "[e2e][guest]") {
  const Sandbox box;
  CHECK_FAILS(boot_guest(box, "demo", {"--disk", box.write("a.qcow2", "no image").string()}), 2, "a.qcow2");
  CHECK_FAILS(boot_guest(box, "demo", {"--disk", box.write("b.img", "QFI\xfb").string()}), 2, "b.img");
  CHECK_FAILS(boot_guest(box, "demo", {"--rootfs", box.write("c.img", "").string()}), 2, "c.img");
  CHECK(box.processes().empty());
}

TEST_CASE("a disk that a QEMU of somebody else's writes is refused by its name, read-only too, and free after it",
          "[e2e][guest]") {
  const Sandbox box;
  const std::string disk = box.disk("data.img", 1 << 20);
  Process other(
      {"qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-S", "-nodefaults", "-no-user-config", "-display", "none",
       "-drive", "if=none,id=d,format=raw,file=" + disk, "-device", "virtio-blk-pci,drive=d", "-qmp", "stdio"},
      {"PATH=/usr/bin:/bin"});
  other.write(R"({"execute":"qmp_capabilities"}{"execute":"query-status"})");
  REQUIRE(other.wait_out("prelaunch"));  // it has the image then
  const std::string error =
      "disk " + disk + ": is in use by another process; stop that one first, or use a copy of the image";
  CHECK_FAILS(boot_guest(box, "demo", {"--disk", disk}), 1, error);
  CHECK_FAILS(boot_guest(box, "demo", {"--disk", disk + ":ro"}), 1, error);
  CHECK(box.processes() == std::vector<pid_t>{other.pid()});
  other.write(R"({"execute":"quit"})");
  CHECK(other.wait().exit_code == 0);
  must_boot_guest(box, "demo", {"--disk", disk});
  box.must({"stop", "demo", "--force"});
}

TEST_CASE("a disk that this user may only read is refused for writing, and boots read-only", "[e2e][guest]") {
  const Sandbox box;
  const Args nobody = as_nobody();
  NEEDS("a user who is not root", !nobody.empty() || !is_root());
  if (is_root()) REQUIRE(::chown(box.root().c_str(), nobody_uid, nobody_uid) == 0);
  const fs::path disk = box.disk("data.img", 1 << 20);
  fs::permissions(disk, fs::perms::owner_read | fs::perms::group_read | fs::perms::others_read);
  const RunOptions as{.deadline = boot_deadline, .prefix = nobody};
  CHECK_FAILS(box.run(guest_arguments("demo", {"--disk", disk}), as), 2,
              disk.string() + ": may not be written by this user; change its permissions, or use it read-only");
  const Outcome booted = box.run(guest_arguments("demo", {"--disk", disk.string() + ":ro"}), as);
  INFO(booted.err);
  CHECK(booted.exit_code == 0);
  box.run({"stop", "demo", "--force"}, as);
}

TEST_CASE("a disk that another VM writes is refused by its name", "[e2e][guest]") {
  const Sandbox box;
  const std::string disk = box.disk("data.img", 1 << 20);
  must_boot_guest(box, "one", {"--disk", disk});
  CHECK_FAILS(boot_guest(box, "two", {"--disk", disk}), 1, "data.img: is in use by another VM");
  box.must({"stop", "one", "--force"});
}

}  // namespace mvm::test
