// SPDX-License-Identifier: Apache-2.0
// Speaks QMP on descriptor 3 as QEMU does, and runs no guest. What it does wrong is said in the words of -append; for a
// trial (no -S), the name of the kernel's file says what becomes of it.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>
#include <nlohmann/json.hpp>

namespace {

using nlohmann::json;

constexpr int qmp = 3;
constexpr int console = 5;

[[noreturn]] void sleep_for_ever() {
  while (true) ::pause();
}

void write_text(int fd, const std::string& text) {
  if (::write(fd, text.data(), text.size()) < 0) std::_Exit(9);
}

class FakeQemu {
 public:
  explicit FakeQemu(const std::vector<std::string>& arguments) {
    for (size_t i = 1; i < arguments.size(); ++i) {
      if (arguments[i] == "-S") waits_ = true;
      if (arguments[i - 1] == "-append") words_ = arguments[i];
      if (arguments[i - 1] == "-kernel") kernel_ = arguments[i].substr(arguments[i].rfind('/') + 1);
    }
  }

  int run() {
    if (!waits_) return be_tried();
    if (has("dies")) return die_at_start();
    if (has("mute")) sleep_for_ever();
    if (has("garbage")) write_text(qmp, "\x01\xff not QMP at all\n");
    if (has("endless")) {
      while (true) write_text(qmp, std::string(65536, 'x'));
    }
    const int minor = has("old") ? 1 : 2;
    send({{"QMP", {{"version", {{"qemu", {{"micro", 0}, {"minor", minor}, {"major", has("old") ? 6 : 7}}}}}}}});
    if (has("closes-qmp")) {
      ::close(qmp);
      sleep_for_ever();
    }
    serve();
    return 0;
  }

 private:
  bool has(const std::string& word) const {
    std::istringstream all(words_);
    for (std::string w; all >> w;) {
      if (w == word) return true;
    }
    return false;
  }

  int be_tried() const {
    if (kernel_ == "works") write_text(console, "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs\n");
    if (kernel_ == "dies") {
      write_text(2, "qemu-system-x86_64: failed to initialize kvm: Function not implemented\n");
      return 1;
    }
    if (kernel_ == "resets") return 0;
    sleep_for_ever();
  }

  int die_at_start() const {
    write_text(2,
               "qemu-system-x86_64: -device x: Failed to get \"write\" lock\n"
               "Is another process using the image [/images/a.img]?\n");
    return 1;
  }

  void send(const json& message) const { write_text(qmp, message.dump() + "\r\n"); }
  void event(const std::string& name, const json& data = json::object()) const {
    send({{"event", name}, {"data", data}, {"timestamp", {{"seconds", 1}, {"microseconds", 2}}}});
  }

  void serve() {
    std::string inbox;
    char piece[4096];
    for (ssize_t n = 0; (n = ::read(qmp, piece, sizeof piece)) > 0;) {
      inbox.append(piece, static_cast<size_t>(n));
      for (size_t end = 0; (end = inbox.find('\n')) != std::string::npos; inbox.erase(0, end + 1)) {
        answer(json::parse(inbox.substr(0, end)));
      }
    }
  }

  [[noreturn]] void shut_down(const std::string& reason) const {
    event("SHUTDOWN", {{"guest", reason.starts_with("guest")}, {"reason", reason}});
    std::_Exit(0);
  }

  void answer(const json& command) {
    const std::string name = command["execute"];
    if (name == "quit" && has("ignores-quit")) return;
    if (has("refuses-" + name)) {
      return send({{"id", command["id"]}, {"error", {{"class", "GenericError"}, {"desc", name + " is not for you"}}}});
    }
    json value = json::object();
    if (name == "query-status") value = {{"status", "internal-error"}, {"running", false}};
    send({{"id", command["id"]}, {"return", value}});
    act_on(name);
  }

  void act_on(const std::string& name) {
    if (name == "quit") shut_down("host-qmp-quit");
    if (name == "cont") run_guest();
    if (name == "system_powerdown") press();
  }

  void press() {
    event("POWERDOWN");
    ++presses_;
    if (has("ignores-powerdown") || (has("hears-second-press") && presses_ < 2)) return;
    shut_down("guest-shutdown");
  }

  void run_guest() const {
    event("RESUME");
    if (has("powers-off")) shut_down("guest-shutdown");
    if (has("resets")) shut_down("guest-reset");
    if (has("panics")) {
      event("GUEST_PANICKED", {{"action", "poweroff"}});
      shut_down("guest-panic");
    }
    if (has("is-killed")) std::raise(SIGKILL);
    if (has("crashes")) std::abort();
    if (has("told-to-end")) shut_down("host-signal");
    if (has("stumbles")) event("STOP");
    if (has("babbles")) write_text(qmp, "[1, 2, 3]\n");
  }

  bool waits_ = false;
  std::string words_;
  std::string kernel_;
  int presses_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_DFL);
  return FakeQemu({argv, argv + argc}).run();
}
