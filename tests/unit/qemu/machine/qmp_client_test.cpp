// SPDX-License-Identifier: Apache-2.0
#include "machine/qmp_client.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include "machine/socket_pair.hpp"
#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::qemu;
using nlohmann::json;

namespace {

// Both ends in one thread: the loop is run until nothing is left to do.
class Talk {
 public:
  Talk() {
    SocketPair pair = make_socket_pair();
    peer = std::move(pair.theirs);
    client = QmpClient::start(
        loop, std::move(pair.ours),
        {[this](const QemuVersion& v) { version = v; }, [this](const QmpEvent& e) { events.push_back(e); },
         [this](bool was_broken, const std::string& why) {
           ++closed;
           broken = was_broken;
           reason = why;
         }});
  }
  ~Talk() { client->close(); }

  void say(const std::string& text) {
    REQUIRE(::send(peer.get(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size()));
    turn();
  }
  void turn() {
    loop.restart();
    while (loop.poll() > 0) continue;
  }
  // What the client sent, and the descriptor that came along.
  std::string heard(UniqueFd* attached = nullptr) {
    turn();
    char bytes[65536];
    iovec part{bytes, sizeof bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(peer.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n <= 0) return {};
    if (const cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr && attached != nullptr) {
      int fd = -1;
      std::copy_n(CMSG_DATA(header), sizeof fd, reinterpret_cast<unsigned char*>(&fd));
      attached->reset(fd);
    }
    return {bytes, static_cast<size_t>(n)};
  }
  void greet() {
    say(R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "x"}, "capabilities": []}})"
        "\r\n");
    CHECK(heard() == "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
    say("{\"return\": {}, \"id\": 1}\r\n");
  }

  boost::asio::io_context loop;
  UniqueFd peer;
  std::shared_ptr<QmpClient> client;
  std::optional<QemuVersion> version;
  std::vector<QmpEvent> events;
  int closed = 0;
  bool broken = false;
  std::string reason;
};

struct Replies {
  std::vector<QmpReply> all;
  QmpClient::OnReply keep() {
    return [this](const QmpReply& reply) { all.push_back(reply); };
  }
};

}  // namespace

TEST_CASE("QMP is ready, with QEMU's version, once QEMU has greeted and agreed") {
  Talk talk;
  CHECK_FALSE(talk.version);
  talk.greet();
  REQUIRE(talk.version);
  CHECK(*talk.version == QemuVersion{7, 2});
}

TEST_CASE("each command gets its own answer, in whatever order and pieces they come") {
  Talk talk;
  talk.greet();
  Replies first, second;
  talk.client->execute("one", {{"a", 1}}, first.keep());
  talk.client->execute("two", json::object(), second.keep());
  CHECK(talk.heard() == "{\"arguments\":{\"a\":1},\"execute\":\"one\",\"id\":2}\n{\"execute\":\"two\",\"id\":3}\n");
  talk.say("{\"return\": {\"x\": 5}, \"id\"");
  CHECK(second.all.empty());
  talk.say(": 3}\n{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such thing\"}, \"id\": 2}\n");
  REQUIRE(second.all.size() == 1);
  CHECK(second.all[0].ok);
  CHECK(second.all[0].value["x"] == 5);
  REQUIRE(first.all.size() == 1);
  CHECK_FALSE(first.all[0].ok);
  CHECK_FALSE(first.all[0].gone);
  CHECK(first.all[0].error == "no such thing");
}

TEST_CASE("answers to nothing that was asked are passed over") {
  Talk talk;
  talk.greet();
  talk.say("{\"return\": {}, \"id\": 99}\n{\"return\": {}}\n{\"error\": 7, \"id\": \"x\"}\n\r\n");
  CHECK(talk.closed == 0);
}

TEST_CASE("events come with their data, or with none") {
  Talk talk;
  talk.greet();
  talk.say("{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\n{\"event\": \"STOP\"}\n");
  REQUIRE(talk.events.size() == 2);
  CHECK(talk.events[0].name == "SHUTDOWN");
  CHECK(talk.events[0].data["reason"] == "guest-reset");
  CHECK(talk.events[1].data.is_object());
}

TEST_CASE("a descriptor goes along with the command that it belongs to") {
  Talk talk;
  talk.greet();
  Replies replies;
  int fds[2];
  REQUIRE(::pipe(fds) == 0);
  const UniqueFd read_end(fds[0]);
  talk.client->execute("getfd", {{"fdname", "f"}}, replies.keep(), UniqueFd(fds[1]));
  UniqueFd attached;
  CHECK_THAT(talk.heard(&attached), mvm::test::ContainsSubstring("getfd"));
  REQUIRE(attached);
  CHECK(::write(attached.get(), "x", 1) == 1);
  attached.reset();
  char c = 0;
  CHECK(::read(read_end.get(), &c, 1) == 1);
  CHECK(::read(read_end.get(), &c, 1) == 0);  // the client has kept no copy
}

TEST_CASE("when QEMU closes the connection, open commands end and the end is told of once") {
  Talk talk;
  talk.greet();
  Replies replies;
  talk.client->execute("stop", json::object(), replies.keep());
  talk.peer.reset();
  talk.turn();
  REQUIRE(replies.all.size() == 1);
  CHECK(replies.all[0].gone);
  CHECK(talk.closed == 1);
  CHECK_FALSE(talk.broken);
  talk.client->execute("cont", json::object(), replies.keep());
  REQUIRE(replies.all.size() == 2);
  CHECK(replies.all[1].gone);
}

TEST_CASE("what is no QMP ends the connection as broken") {
  Talk talk;
  talk.greet();
  SECTION("not JSON") { talk.say("hello\n"); }
  SECTION("not an object") { talk.say("[1]\n"); }
  SECTION("bytes that are no UTF-8") { talk.say("{\"event\": \"\xff\"}\n"); }
  SECTION("a line without an end") {
    const std::string piece(64 * 1024, ' ');
    for (int n = 0; n < 17 && talk.closed == 0; ++n) talk.say(piece);
  }
  CHECK(talk.closed == 1);
  CHECK(talk.broken);
}

TEST_CASE("a connection that we close calls nobody any more") {
  Talk talk;
  talk.greet();
  talk.client->close();
  talk.peer.reset();
  talk.turn();
  CHECK(talk.closed == 0);
}

TEST_CASE("what QEMU said before it died is heard still") {
  Talk talk;
  talk.greet();
  const std::string last = "{\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-panic\"}}\n";
  REQUIRE(::send(talk.peer.get(), last.data(), last.size(), 0) > 0);
  talk.peer.reset();
  talk.client->drain();
  REQUIRE(talk.events.size() == 1);
  CHECK(talk.events[0].data["reason"] == "guest-panic");
}
