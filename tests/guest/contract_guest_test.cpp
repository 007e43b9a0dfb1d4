// SPDX-License-Identifier: Apache-2.0
// The contract suite's guest, as a process on Unix sockets: that what the suite measures plugins by speaks the
// protocols of plugins/mock/README.md itself.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "e2e/support/process.hpp"
#include "support/catch.hpp"

using namespace mvm::test;
using std::string_literals::operator""s;
namespace fs = std::filesystem;

namespace {

void write_file(const fs::path& path, const std::string& content) { std::ofstream(path, std::ios::binary) << content; }

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> names_in(const fs::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename());
  return names;
}

class TempDir {
 public:
  TempDir() {
    std::string made = "/tmp/mvm-guest-test.XXXXXX";
    if (::mkdtemp(made.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = made;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// With the shares "work" and "ro", which lie beside each other.
class Guest {
 public:
  Guest() : process_(command(), {}) {
    if (!process_.wait_out("ready\n")) throw std::runtime_error("contract-guest: " + process_.err());
  }
  Fd connect(int port) const {
    Fd fd = connect_unix(dir_.path() / std::to_string(port));
    if (!fd) throw std::runtime_error("port " + std::to_string(port) + " is refused");
    return fd;
  }
  fs::path dir() const { return dir_.path(); }
  fs::path work() const { return dir_.path() / "work"; }
  fs::path read_only() const { return dir_.path() / "read-only"; }

 private:
  std::vector<std::string> command() const {
    for (const char* name : {"work", "read-only", "host"}) fs::create_directory(dir_.path() / name);
    return {MVM_CONTRACT_GUEST,
            "--unix",
            dir_.path(),
            "--share",
            "work=" + work().string(),
            "--share",
            "ro=" + read_only().string() + ":ro"};
  }
  TempDir dir_;
  Process process_;
};

std::string answer_to(const Fd& fd, const std::string& command) {
  send_all(fd, command + (command.starts_with("WRITE 1 ") ? "\nx" : "\n"));
  return receive_line(fd);
}

}  // namespace

TEST_CASE("the contract guest echoes all that was sent, and ends when the sender does", "[guest]") {
  const Guest guest;
  const std::string bytes = some_bytes(3'000'000);
  for (const int port : {7, 10007}) CHECK((send_and_receive(guest.connect(port), bytes) == bytes));
}

TEST_CASE("the contract guest discards in silence", "[guest]") {
  const Guest guest;
  for (const int port : {9, 10009}) CHECK(send_and_receive(guest.connect(port), some_bytes(300'000)) == "");
}

TEST_CASE("the contract guest's pattern is that of RFC 864, without an end", "[guest]") {
  const Guest guest;
  const Fd fd = guest.connect(19);
  const std::string text = receive(fd, 74 * 96);
  CHECK(text.substr(0, 10) == " !\"#$%&'()");
  CHECK(text.substr(72, 4) == "\r\n!\"");
  CHECK(text.substr(74 * 94, 1) == "~");
  CHECK(text.substr(74 * 95, 74) == text.substr(0, 74));
}

TEST_CASE("three hundred connections to the contract guest live beside each other", "[guest]") {
  const Guest guest;
  std::vector<Fd> all;
  for (int n = 0; n < 300; ++n) all.push_back(guest.connect(7));
  for (size_t n = 0; n < all.size(); ++n) send_all(all[n], "connection " + std::to_string(n) + "\n");
  for (size_t n = all.size(); n-- > 0;) CHECK(receive_line(all[n]) == "connection " + std::to_string(n));
}

TEST_CASE("the contract guest's agent answers Ping, refuses the rest, and ends at a frame that is too long",
          "[guest]") {
  const Guest guest;
  const Fd fd = guest.connect(5252);
  send_all(fd, "\0\0\0\6\"Ping\"\0\0\0\x0a \"Ping\"\r\n "s);
  for (int n = 0; n < 2; ++n) CHECK(receive(fd, 10) == "\0\0\0\6\"Pong\""s);
  send_all(fd, "\0\0\0\2{}"s);
  const std::string head = receive(fd, 4);
  CHECK_THAT(receive(fd, static_cast<unsigned char>(head[3])), StartsWith("{\"Error\":"));
  send_all(fd, "\0\4\0\1"s);
  CHECK_THAT(receive_to_end(fd).substr(4), StartsWith("{\"Error\":"));
}

TEST_CASE("the contract guest's web server has one page, and refuses what is not HTTP", "[guest]") {
  const Guest guest;
  const Fd fd = guest.connect(10080);
  send_all(fd, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const std::string page = receive_to_end(fd);
  CHECK_THAT(page, StartsWith("HTTP/1.1 200 OK\r\n"));
  CHECK_THAT(page, ContainsSubstring("\r\n\r\n<!DOCTYPE html>"));
  const Fd bad = guest.connect(10080);
  send_all(bad, "nonsense\r\n\r\n");
  CHECK_THAT(receive_to_end(bad), StartsWith("HTTP/1.1 400 "));
}

TEST_CASE("the contract guest lists its shares, sorted, and who may write", "[guest][share]") {
  const Guest guest;
  const Fd fd = guest.connect(2049);
  CHECK(answer_to(fd, "LIST") == "OK 2");
  CHECK(receive_line(fd) == "ro ro");
  CHECK(receive_line(fd) == "work rw");
}

TEST_CASE("the contract guest lists a directory by name, with types, sizes and encoded names", "[guest][share]") {
  const Guest guest;
  write_file(guest.work() / "b 100%", "12345");
  fs::create_directory(guest.work() / "a");
  fs::create_symlink("a", guest.work() / "c");
  REQUIRE(::mkfifo((guest.work() / "d\n").c_str(), 0600) == 0);
  const Fd fd = guest.connect(2049);
  CHECK(answer_to(fd, "DIR work") == "OK 4");
  CHECK(receive_line(fd) == "d 0 a");
  CHECK(receive_line(fd) == "f 5 b%20100%25");
  CHECK(receive_line(fd) == "l 0 c");
  CHECK(receive_line(fd) == "o 0 d%0A");
  CHECK(answer_to(fd, "DIR work a") == "OK 0");
  CHECK_THAT(answer_to(fd, "DIR work nowhere"), StartsWith("ERR "));
  CHECK_THAT(answer_to(fd, "DIR other"), StartsWith("ERR other: "));
}

TEST_CASE("what is written through the contract guest is there, and is read back", "[guest][share]") {
  const Guest guest;
  fs::create_directory(guest.work() / "sub dir");
  const std::string content = some_bytes(300'000);
  const Fd fd = guest.connect(2049);
  send_all(fd, "WRITE 300000 work sub%20dir/new\n" + content + "READ work sub%20dir/new\n");
  CHECK(receive_line(fd) == "OK 300000");
  CHECK(receive_line(fd) == "OK 300000");
  CHECK((receive(fd, content.size()) == content));
  CHECK((content_of(guest.work() / "sub dir" / "new") == content));
  send_all(fd, "WRITE 0 work sub%20dir/new\n");
  CHECK(receive_line(fd) == "OK 0");
  CHECK(content_of(guest.work() / "sub dir" / "new").empty());
}

TEST_CASE("a WRITE that breaks off changes nothing, and leaves nothing", "[guest][share]") {
  const Guest guest;
  write_file(guest.work() / "file", "as it was");
  const Fd fd = guest.connect(2049);
  CHECK(send_and_receive(fd, "WRITE 100 work file\nonly some") == "");
  CHECK(content_of(guest.work() / "file") == "as it was");
  CHECK(names_in(guest.work()) == std::vector<std::string>{"file"});
}

TEST_CASE("a WRITE to a read-only share is refused, its bytes skipped", "[guest][share]") {
  const Guest guest;
  write_file(guest.read_only() / "file", "as it was");
  const Fd fd = guest.connect(2049);
  send_all(fd, "WRITE 5 ro file\nLIST\nWRITE 0 ro new\nREAD ro file\n");
  CHECK(receive_line(fd) == "ERR read-only");
  CHECK(receive_line(fd) == "ERR read-only");
  CHECK(receive_line(fd) == "OK 9");
  CHECK(receive(fd, 9) == "as it was");
  CHECK(names_in(guest.read_only()) == std::vector<std::string>{"file"});
}

TEST_CASE("nothing leads out of the contract guest's shares", "[guest][share]") {
  const Guest guest;
  write_file(guest.read_only() / "secret", "not yours");
  fs::create_symlink("../read-only", guest.work() / "link");
  fs::create_symlink("../read-only/secret", guest.work() / "file");
  fs::create_directory(guest.work() / "x");
  const Fd fd = guest.connect(2049);
  for (const std::string path : {"../read-only/secret", "x/../../read-only/secret", "..%2Fread-only/secret",
                                 "link/secret", "file", "x", "", "."}) {
    INFO(path);
    CHECK_THAT(answer_to(fd, "READ work " + path), StartsWith("ERR "));
  }
  for (const std::string path : {"..", "x/..", "link"}) {
    INFO(path);
    CHECK_THAT(answer_to(fd, "DIR work " + path), StartsWith("ERR "));
  }
  for (const std::string path : {"../new", "link/new", "..", ""}) {
    INFO(path);
    CHECK_THAT(answer_to(fd, "WRITE 1 work " + path), StartsWith("ERR "));
  }
  CHECK(answer_to(fd, "WRITE 1 work file") == "OK 1");  // in the link's place, not through it
  CHECK(content_of(guest.read_only() / "secret") == "not yours");
  CHECK(names_in(guest.read_only()) == std::vector<std::string>{"secret"});
}

TEST_CASE("nonsense is answered, and what cannot be made sense of after it ends the connection", "[guest][share]") {
  const Guest guest;
  const Fd fd = guest.connect(2049);
  CHECK_THAT(answer_to(fd, "DELETE work file"), StartsWith("ERR "));
  CHECK_THAT(answer_to(fd, ""), StartsWith("ERR "));
  CHECK_THAT(answer_to(fd, "READ %zz file"), StartsWith("ERR "));
  CHECK_THAT(answer_to(fd, "READ work %00"), StartsWith("ERR "));
  CHECK_THAT(answer_to(fd, "WRITE many work file"), StartsWith("ERR "));
  CHECK(receive_to_end(fd) == "");
  CHECK_THAT(send_and_receive(guest.connect(2049), std::string(40'000, 'x')), StartsWith("ERR line too long"));
}

TEST_CASE("the contract guest dials the host and relays both ways", "[guest]") {
  const Guest guest;
  const Fd listener = listen_unix(guest.dir() / "host" / "6000");
  const Fd near = guest.connect(2050);
  send_all(near, "DIAL 6000\nfrom the guest");
  end_sending(near);
  const Fd far = accept_one(listener);
  CHECK(receive_to_end(far) == "from the guest");
  send_all(far, "from the host");
  end_sending(far);
  CHECK(receive_to_end(near) == "from the host");
}

TEST_CASE("the contract guest says when the host refuses its call, or the line is none", "[guest]") {
  const Guest guest;
  for (const char* port : {"6000", "4294967295"}) {
    CHECK(answer_to(guest.connect(2050), std::string("DIAL ") + port) == "ERR refused");
  }
  for (const char* line : {"DIAL", "DIAL ", "DIAL -1", "DIAL 6000x", "DIAL 4294967296", "dial 6000"}) {
    INFO(line);
    CHECK(answer_to(guest.connect(2050), line) == "ERR not DIAL <port>");
  }
}

TEST_CASE("the contract guest prints what it is told to, and leaves the machine alone when it is no guest", "[guest]") {
  const Guest guest;
  const Fd fd = guest.connect(2051);
  for (const char* verb : {"panic", "poweroff", "reboot", "garble-vsock 1"})
    CHECK(answer_to(fd, verb) == "ERR this is no guest");
  CHECK(answer_to(fd, "console hello there") == "OK");
  CHECK(answer_to(fd, "flood-console 1000") == "OK");
  CHECK_THAT(answer_to(fd, "something else"), StartsWith("ERR "));
  const std::string console = content_of(guest.dir() / "console");
  CHECK_THAT(console, StartsWith("hello there\nflood 1\n"));
  CHECK_THAT(console, ContainsSubstring("\nflood 1000\n"));
}

TEST_CASE("the contract guest begins to listen when told, at once or later", "[guest]") {
  const Guest guest;
  const Fd fd = guest.connect(2051);
  CHECK(answer_to(fd, "listen 4998") == "OK");
  CHECK(send_and_receive(guest.connect(4998), "now") == "now");
  CHECK_THAT(answer_to(fd, "listen 4998"), StartsWith("ERR "));
  CHECK(answer_to(fd, "listen 4999 50") == "OK");
  CHECK(eventually([&] { return static_cast<bool>(connect_unix(guest.dir() / "4999")); }));
  CHECK(send_and_receive(guest.connect(4999), "late") == "late");
}

TEST_CASE("the contract guest floods a port of the host's until the host ends it, and counts what it wrote",
          "[guest]") {
  const Guest guest;
  const Fd fd = guest.connect(2051);
  CHECK(answer_to(fd, "flood 6000 1") == "ERR refused");
  for (const char* line : {"flood", "flood 6000", "flood x 1", "flood 6000 0", "flood 6000 65537"}) {
    INFO(line);
    CHECK(answer_to(fd, line) == "ERR not flood <port> <size>");
  }
  const Fd listener = listen_unix(guest.dir() / "host" / "6000");
  send_all(fd, "flood 6000 1000\n");
  {
    const Fd host = accept_one(listener);
    std::string expected;
    for (int n = 0; n < 3000; ++n) expected += static_cast<char>(n % 251);
    CHECK((receive(host, 3000) == expected));
  }
  const std::string answer = receive_line(fd);
  REQUIRE_THAT(answer, StartsWith("OK "));
  CHECK(std::stoi(answer.substr(3)) >= 3000);
}

TEST_CASE("the contract guest opens connections to the host, counts them, and ends them with its own", "[guest]") {
  const Guest guest;
  Fd fd = guest.connect(2051);
  CHECK(answer_to(fd, "open 6000 3") == "OK 0 3");
  CHECK(answer_to(fd, "open 6000") == "ERR not open <port> <n>");
  const Fd listener = listen_unix(guest.dir() / "host" / "6000");
  CHECK(answer_to(fd, "open 6000 3") == "OK 3 0");
  std::vector<Fd> hosts;
  for (int n = 0; n < 3; ++n) hosts.push_back(accept_one(listener));
  CHECK_FALSE(readable(hosts[0].get(), std::chrono::milliseconds(0)));
  fd.reset();
  for (const Fd& host : hosts) CHECK(receive_to_end(host) == "");
}
