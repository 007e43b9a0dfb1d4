// SPDX-License-Identifier: Apache-2.0
#include "base/parse.hpp"

#include <limits>

#include "support/catch.hpp"

using namespace mvm::host;
using std::chrono::milliseconds;

namespace {

uint64_t size_of(std::string_view text) {
  const auto size = parse_size("--memory", text);
  INFO(text << ": " << (size ? "" : size.error().message));
  REQUIRE(size);
  return *size;
}

milliseconds duration_of(std::string_view text) {
  const auto duration = parse_duration("--timeout", text);
  INFO(text << ": " << (duration ? "" : duration.error().message));
  REQUIRE(duration);
  return *duration;
}

template <class T>
std::string refused(const Result<T>& result) {
  REQUIRE_FALSE(result);
  CHECK(result.error().kind == ErrorKind::invalid);
  return result.error().message;
}

std::string bad_size(std::string_view text) { return refused(parse_size("--memory", text)); }
std::string bad_duration(std::string_view text) { return refused(parse_duration("--timeout", text)); }
std::string bad_publish(std::string_view text) { return refused(parse_publish(text)); }

}  // namespace

TEST_CASE("a size is written in bytes, or in powers of 1024 with a letter") {
  CHECK(size_of("1048576") == 1048576);
  CHECK(size_of("0") == 0);
  CHECK(size_of("512M") == 512ULL << 20);
  CHECK(size_of("2G") == 2ULL << 30);
  CHECK(size_of("1T") == 1ULL << 40);
  CHECK(size_of("64k") == 64ULL << 10);
  CHECK(size_of("64KiB") == 64ULL << 10);
  CHECK(size_of("64kb") == 64ULL << 10);
  CHECK(size_of("12B") == 12);
}

TEST_CASE("a size may have a fraction as long as it is a whole number of bytes") {
  CHECK(size_of("1.5G") == 3ULL << 29);
  CHECK(size_of("1.50G") == 3ULL << 29);
  CHECK(size_of("0.5K") == 512);
  CHECK(size_of("1.0") == 1);
  CHECK(size_of("1.500000000000000000000000K") == 1536);
  CHECK(size_of("0.0009765625K") == 1);
  CHECK(bad_size("0.3K") == "--memory 0.3K: is not a whole number of bytes; write a size such as 512M or 2G");
  CHECK(bad_size("1.5") == "--memory 1.5: is not a whole number of bytes; write a size such as 512M or 2G");
  CHECK(bad_size("0.00048828125K") ==
        "--memory 0.00048828125K: is not a whole number of bytes; write a size such as 512M or 2G");
}

TEST_CASE("a size just within 64 bits is taken and one beyond is refused") {
  CHECK(size_of("18446744073709551615") == std::numeric_limits<uint64_t>::max());
  CHECK(size_of("16777215T") == 16777215ULL << 40);
  CHECK(bad_size("18446744073709551616") ==
        "--memory 18446744073709551616: is too large; write a size such as 512M or 2G");
  CHECK(bad_size("16777216T") == "--memory 16777216T: is too large; write a size such as 512M or 2G");
}

TEST_CASE("what is not a size is refused by its own name and with an example") {
  CHECK(bad_size("") == "--memory: is empty; write a size such as 512M or 2G");
  CHECK(bad_size("-1G") == "--memory -1G: is negative; write a size such as 512M or 2G");
  CHECK(bad_size("lots") == "--memory lots: is not a size; write a size such as 512M or 2G");
  CHECK(bad_size("12X") == "--memory 12X: unknown unit \"X\"; use K, M, G or T");
  CHECK(bad_size("12Kx") == "--memory 12Kx: unknown unit \"Kx\"; use K, M, G or T");
  for (const auto* text : {" 1", "1 ", "+1", ".5G", "1.", "1.G", "0x10", "1e3", "1,5G", "M", "1.2.3"}) {
    INFO(text);
    CHECK_FALSE(parse_size("--memory", text));
  }
}

TEST_CASE("what a user wrote cannot break the message's line or flood the terminal") {
  CHECK(bad_size("1\nM\x1b[31m") == "--memory 1?M?[31m: unknown unit \"?M?[31m\"; use K, M, G or T");
  CHECK(bad_size("x" + std::string(100000, 'y')).size() < 200);
}

TEST_CASE("a duration is written in ms, s, m or h, and in seconds without a unit") {
  CHECK(duration_of("30s") == milliseconds(30000));
  CHECK(duration_of("30") == milliseconds(30000));
  CHECK(duration_of("500ms") == milliseconds(500));
  CHECK(duration_of("2m") == milliseconds(120000));
  CHECK(duration_of("1h") == milliseconds(3600000));
  CHECK(duration_of("1.5s") == milliseconds(1500));
  CHECK(duration_of("0.25h") == milliseconds(900000));
  CHECK(duration_of("0") == milliseconds(0));
  CHECK(duration_of("5S") == milliseconds(5000));
}

TEST_CASE("a duration of 32 bits of milliseconds is the longest") {
  CHECK(duration_of("2147483647ms") == milliseconds(2147483647));
  CHECK(bad_duration("2147483648ms") == "--timeout 2147483648ms: is too long; write at most 24 days (576h)");
  CHECK(bad_duration("600h") == "--timeout 600h: is too long; write at most 24 days (576h)");
}

TEST_CASE("what is not a duration is refused") {
  CHECK(bad_duration("") == "--timeout: is empty; write a duration such as 30s or 500ms");
  CHECK(bad_duration("-3s") == "--timeout -3s: is negative; write a duration such as 30s or 500ms");
  CHECK(bad_duration("soon") == "--timeout soon: is not a duration; write a duration such as 30s or 500ms");
  CHECK(bad_duration("3d") == "--timeout 3d: unknown unit \"d\"; use ms, s, m or h");
  CHECK(bad_duration("0.5ms") == "--timeout 0.5ms: is finer than a millisecond; write a duration such as 30s or 500ms");
}

TEST_CASE("a published port has a host port, a guest port and perhaps an address") {
  const auto plain = parse_publish("8080:80");
  REQUIRE(plain);
  CHECK(plain->address == "127.0.0.1");
  CHECK(plain->host_port == 8080);
  CHECK(plain->guest_port == 80);
  const auto everywhere = parse_publish("0.0.0.0:1:55535");
  REQUIRE(everywhere);
  CHECK(everywhere->address == "0.0.0.0");
  CHECK(everywhere->guest_port == 55535);
  const auto six = parse_publish("[::1]:65535:22");
  REQUIRE(six);
  CHECK(six->address == "::1");
  CHECK(six->host_port == 65535);
}

TEST_CASE("a Unix socket is published by its path") {
  const auto socket = parse_publish("unix:/run/a:b.sock:80");
  REQUIRE(socket);
  CHECK(socket->address == "unix:/run/a:b.sock");
  CHECK(socket->host_port == 0);
  CHECK(socket->guest_port == 80);
  CHECK(host_end_text(socket->address, 0) == "unix:/run/a:b.sock");
  CHECK(bad_publish("unix::80") == "--publish unix::80: has no path; write for instance unix:/run/web.sock:80");
  CHECK(bad_publish("unix:/run/a.sock") ==
        "--publish unix:/run/a.sock: has no guest port; write for instance unix:/run/a.sock:80");
}

TEST_CASE("a published port is named by its host's end, with or without the guest's") {
  const auto end = [](std::string_view text) {
    const auto port = parse_published(text);
    return port ? host_end_text(port->address, port->host_port) + " " + std::to_string(port->guest_port)
                : port.error().message;
  };
  CHECK(end("8080") == "127.0.0.1:8080 0");
  CHECK(end("8080:80") == "127.0.0.1:8080 80");
  CHECK(end("0.0.0.0:8080") == "0.0.0.0:8080 0");
  CHECK(end("0.0.0.0:8080:80") == "0.0.0.0:8080 80");
  CHECK(end("[::1]:8080") == "[::1]:8080 0");
  CHECK(end("[::1]:8080:80") == "[::1]:8080 80");
  CHECK(end("unix:/run/a.sock") == "unix:/run/a.sock 0");
  CHECK(end("unix:/run/a.sock:80") == "unix:/run/a.sock 80");
  CHECK(end("") == "unpublish: host port \"\" is not a port; write a number from 1 to 65535");
  CHECK(end("65536") == "unpublish 65536: host port 65536 is not a port; write a number from 1 to 65535");
  CHECK(end("unix:") == "unpublish unix:: has no path; write for instance unix:/run/web.sock:80");
  for (const char* text : {":", ":80", "80:", "localhost:80", "::1:80", "[::1]", "1:2:3:4"})
    CHECK_FALSE(parse_published(text));
}

TEST_CASE("what is not a published port is refused with what is wrong about it") {
  CHECK(bad_publish("8080") ==
        "--publish 8080: is not [ADDR:]HOST:GUEST; write for instance 8080:80 or 127.0.0.1:8080:80");
  CHECK(bad_publish("") == "--publish: is not [ADDR:]HOST:GUEST; write for instance 8080:80 or 127.0.0.1:8080:80");
  CHECK(bad_publish("0:80") == "--publish 0:80: host port 0 is not a port; write a number from 1 to 65535");
  CHECK(bad_publish("80:65536") ==
        "--publish 80:65536: guest port 65536 is not a port; write a number from 1 to 65535");
  CHECK(bad_publish("80:") == "--publish 80:: guest port \"\" is not a port; write a number from 1 to 65535");
  CHECK(bad_publish(":80") == "--publish :80: host port \"\" is not a port; write a number from 1 to 65535");
  CHECK(bad_publish("8080:55536") ==
        "--publish 8080:55536: guest port 55536 is over 55535, the highest that can be forwarded (its vsock port is "
        "10000 higher); serve it on a lower port in the guest");
  CHECK(bad_publish("localhost:8080:80") ==
        "--publish localhost:8080:80: address localhost is not a numeric one; write for instance 127.0.0.1 or [::1]");
  CHECK(bad_publish("::1:8080:80") ==
        "--publish ::1:8080:80: an IPv6 address goes in brackets; write [::1]:HOST:GUEST");
  for (const auto* text : {":8080:80", "[]:1:2", "[::1:1:2", "[127.0.0.1]:1:2", "1.2.3:1:2", "+1:2", "1:-2", "a:b"}) {
    INFO(text);
    CHECK_FALSE(parse_publish(text));
  }
  CHECK_FALSE(parse_publish(std::string_view("127.0.0.1\0x:1:2", 15)));
}

TEST_CASE("a share is a directory with an optional tag, read-only unless asked") {
  const auto plain = parse_share("/src");
  REQUIRE(plain);
  CHECK(plain->path == "/src");
  CHECK(plain->tag.empty());
  CHECK_FALSE(plain->writable);
  const auto tagged = parse_share("src:code:rw");
  REQUIRE(tagged);
  CHECK(tagged->tag == "code");
  CHECK(tagged->writable);
  const auto writable = parse_share("src:rw");
  REQUIRE(writable);
  CHECK(writable->tag.empty());
  CHECK(writable->writable);
  const auto explicitly = parse_share("src:code:ro");
  REQUIRE(explicitly);
  CHECK(explicitly->tag == "code");
  CHECK_FALSE(explicitly->writable);
}

TEST_CASE("a share without a directory, with an empty tag or too many parts is refused") {
  CHECK(refused(parse_share("")) == "--share: the directory is empty; write DIR[:TAG][:rw]");
  CHECK(refused(parse_share(":tag")) == "--share :tag: the directory is empty; write DIR[:TAG][:rw]");
  CHECK(refused(parse_share("/a:")) == "--share /a:: the tag is empty; write DIR[:TAG][:rw]");
  CHECK(refused(parse_share("/a::rw")) == "--share /a::rw: the tag is empty; write DIR[:TAG][:rw]");
  CHECK(refused(parse_share("/a:b:c")) ==
        "--share /a:b:c: is not DIR[:TAG][:rw]; a directory's name may not contain ':'");
}

TEST_CASE("a disk is writable unless it says :ro, and its name may contain a colon") {
  const auto plain = parse_disk("a:b.img");
  REQUIRE(plain);
  CHECK(plain->path == "a:b.img");
  CHECK_FALSE(plain->read_only);
  const auto read_only = parse_disk("data.img:ro");
  REQUIRE(read_only);
  CHECK(read_only->path == "data.img");
  CHECK(read_only->read_only);
  const auto writable = parse_disk("data.img:rw");
  REQUIRE(writable);
  CHECK_FALSE(writable->read_only);
  CHECK(refused(parse_disk("")) == "--disk: the file is empty; write FILE[:ro]");
  CHECK(refused(parse_disk(":ro")) == "--disk :ro: the file is empty; write FILE[:ro]");
}

TEST_CASE("an option is a key and whatever follows the first equals sign") {
  const auto option = parse_option("boot-delay=a=b c");
  REQUIRE(option);
  CHECK(option->first == "boot-delay");
  CHECK(option->second == "a=b c");
  const auto empty = parse_option("mock.x=");
  REQUIRE(empty);
  CHECK(empty->second.empty());
  CHECK(refused(parse_option("verbose")) == "--option verbose: has no '='; write KEY=VALUE");
  CHECK(refused(parse_option("=1")) == "--option =1: \"\" is not a key; keys are made of a-z, 0-9, '.' and '-'");
  CHECK_FALSE(parse_option("-a=1"));
  CHECK_FALSE(parse_option("A=1"));
  CHECK_FALSE(parse_option("a b=1"));
}

TEST_CASE("sizes are shown with one digit after the point at most") {
  CHECK(format_size(0) == "0 B");
  CHECK(format_size(1023) == "1023 B");
  CHECK(format_size(1024) == "1 KiB");
  CHECK(format_size(1536) == "1.5 KiB");
  CHECK(format_size(536870912) == "512 MiB");
  CHECK(format_size(1610612736) == "1.5 GiB");
  CHECK(format_size(1048575) == "1 MiB");
  CHECK(format_size(std::numeric_limits<uint64_t>::max()) == "16 EiB");
}

TEST_CASE("every whole number of bytes that is shown can be read again") {
  for (const auto* text : {"512M", "1.5G", "64K", "3T"}) {
    std::string shown = format_size(size_of(text));
    shown.erase(shown.find(' '), 1);
    CHECK(size_of(shown) == size_of(text));
  }
}
