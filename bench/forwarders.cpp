// SPDX-License-Identifier: Apache-2.0
#include "forwarders.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/local_socket.hpp"
#include "forward/port_forwarder.hpp"
#include "load.hpp"
#include "measure.hpp"

namespace mvm::bench {
namespace {

namespace fs = std::filesystem;

// Our runner's own code. The guest is dialled on a thread beside the loop, as the runner dials it.
void become_ours(uint16_t port, const std::string& socket, const std::string&) {
  ::signal(SIGPIPE, SIG_IGN);  // as main.cpp has it
  boost::asio::io_context loop(1);
  boost::asio::thread_pool dialling(1);
  auto forwarder = host::PortForwarder::bind(loop, "127.0.0.1", port, 80);
  if (!forwarder) give_up(forwarder.error().message);
  (*forwarder)->start([&](uint32_t, std::chrono::milliseconds, std::function<void(host::Result<UniqueFd>)> done) {
    boost::asio::post(dialling, [&, done = std::move(done)]() mutable {
      auto guest = std::make_shared<UniqueFd>(host::connect_local(socket));
      boost::asio::post(loop, [guest, done = std::move(done)] { done(std::move(*guest)); });
    });
  });
  loop.run();
}

int listen_tcp(uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(fd, SOMAXCONN) != 0) {
    give_up("listen");
  }
  return fd;
}

void copy_until_end(int from, int to) {
  std::array<char, 8192> buffer;  // as std::io::copy has it
  for (ssize_t got = 0; (got = ::recv(from, buffer.data(), buffer.size(), 0)) > 0;) {
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t n = ::send(to, buffer.data() + sent, static_cast<size_t>(got - sent), MSG_NOSIGNAL);
      if (n <= 0) return;
      sent += n;
    }
  }
}

// The reference's algorithm: two threads a connection, each of which copies one way.
void become_thread_pairs(uint16_t port, const std::string& socket, const std::string&) {
  const int listening = listen_tcp(port);
  const Connect to_guest = to_unix(socket);
  for (;;) {
    const int client = ::accept(listening, nullptr, nullptr);
    if (client < 0) continue;
    const int on = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    std::thread([client, guest = to_guest().release()] {
      std::thread there([=] {
        copy_until_end(client, guest);
        ::shutdown(guest, SHUT_WR);
      });
      copy_until_end(guest, client);
      ::shutdown(client, SHUT_WR);
      there.join();
      ::close(client);
      ::close(guest);
    }).detach();
  }
}

[[noreturn]] void become_program(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  // Some tell at length of each client that goes away first.
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  ::dup2(nowhere, STDERR_FILENO);
  ::execvp(argv[0], argv.data());
  give_up(words.front());
}

std::string write_config(const std::string& directory, const std::string& text) {
  std::string path = directory + "/config";
  std::ofstream(path) << text;
  return path;
}

auto become_haproxy(const char* options) {
  return [options](uint16_t port, const std::string& socket, const std::string& directory) {
    const std::string config = write_config(
        directory, host::formatted("global\n  maxconn 6000\ndefaults\n  mode tcp\n  {}\n  timeout connect 5s\n"
                                   "  timeout client 1h\n  timeout server 1h\nlisten port\n  bind 127.0.0.1:{}\n"
                                   "  server guest unix@{}\n",
                                   options, port, socket));
    become_program({"haproxy", "-q", "-db", "-f", config});
  };
}

void become_nginx(uint16_t port, const std::string& socket, const std::string& directory) {
  const std::string config = write_config(
      directory,
      host::formatted("daemon off;\nuser root;\npid {0}/pid;\nerror_log {0}/log;\nworker_processes auto;\n"
                      "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\nevents {{ worker_connections 18000; "
                      "}}\nstream {{ server {{ listen 127.0.0.1:{1} backlog=4096; proxy_pass unix:{2}; }} }}\n",
                      directory, port, socket));
  become_program({"nginx", "-e", directory + "/log", "-c", config, "-p", directory});
}

void become_socat(uint16_t port, const std::string& socket, const std::string&) {
  become_program({"socat", host::formatted("TCP-LISTEN:{},bind=127.0.0.1,reuseaddr,nodelay,fork,backlog=4096", port),
                  "UNIX-CONNECT:" + socket});
}

constexpr const char* proxyd = "/lib/systemd/systemd-socket-proxyd";

void become_proxyd(uint16_t port, const std::string& socket, const std::string&) {
  const int listening = listen_tcp(port);
  if (listening != 3) ::dup2(listening, 3);
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
  ::signal(SIGPIPE, SIG_IGN);  // as systemd starts its services
  become_program({proxyd, "--connections-max=9000", socket});
}

// What a program says first when it is asked for its version, by either stream; empty: it is not here.
std::string first_line(const std::string& program, const std::string& arguments) {
  const std::string command = "command -v " + program + " >/dev/null && " + program + " " + arguments + " 2>&1";
  FILE* out = ::popen(command.c_str(), "r");
  std::array<char, 256> line{};
  if (out == nullptr) return {};
  const bool said = std::fgets(line.data(), line.size(), out) != nullptr;
  ::pclose(out);
  std::string text = said ? line.data() : "";
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

bool accepts(uint16_t port) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

std::vector<Forwarder> forwarders() {
  std::vector<Forwarder> all = {{"mvmhost", "this tree", 5000, become_ours}};
  const auto add = [&](const char* name, const std::string& version, int idle, auto become) {
    if (!version.empty()) all.push_back({name, version, idle, become});
  };
  const std::string haproxy = first_line("haproxy", "-v");
  add("haproxy", haproxy, 5000, become_haproxy(""));
  add("haproxy, splice", haproxy, 5000, become_haproxy("option splice-auto"));
  if (fs::exists("/usr/lib/nginx/modules/ngx_stream_module.so"))
    add("nginx", first_line("nginx", "-v"), 5000, become_nginx);
  if (fs::exists(proxyd)) add("systemd-socket-proxyd", first_line("systemctl", "--version"), 2000, become_proxyd);
  add("socat", first_line("socat", "-V | sed -n 2p"), 300, become_socat);
  if (all.back().name == "socat") all.back().cpu_is_whole = false;  // it does not wait for its children
  all.push_back({"thread pairs", "the reference's algorithm", 2000, become_thread_pairs});
  return all;
}

// Those that run, for give_up: nginx's workers outlive their master.
static std::set<pid_t>& groups() {
  static std::set<pid_t> all;
  return all;
}

static void kill_groups() {
  for (const pid_t group : groups()) ::kill(-group, SIGKILL);
}

Running::Running(const Forwarder& forwarder, uint16_t port, const std::string& socket, const std::string& directory) {
  if (accepts(port)) give_up(host::formatted("port {} is taken by another program", port));
  if (groups().empty()) std::atexit(kill_groups);
  pid_ = ::fork();
  if (pid_ == 0) {
    groups().clear();  // its parent's
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    forwarder.become(port, socket, directory);
    ::_exit(1);
  }
  ::setpgid(pid_, pid_);
  groups().insert(pid_);
  // Programs that know nothing of us cannot say when they are ready.
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!accepts(port)) {
    if (std::chrono::steady_clock::now() > limit || ::waitpid(pid_, nullptr, WNOHANG) != 0) {
      give_up(forwarder.name + ": does not listen");
    }
    ::poll(nullptr, 0, 10);
  }
}

Running::~Running() {
  ::kill(-pid_, SIGKILL);
  groups().erase(pid_);
  ::waitpid(pid_, nullptr, 0);
}

bool Running::alive() const {
  siginfo_t ended{};
  return ::waitid(P_PID, static_cast<id_t>(pid_), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == 0;
}

std::vector<pid_t> Running::processes() const {
  std::vector<pid_t> all;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid > 0 && ::getpgid(pid) == pid_) all.push_back(pid);
  }
  return all;
}

double Running::cpu_seconds() const {
  long ticks = 0;
  for (const pid_t pid : processes()) {
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string text;
    std::getline(stat, text);
    const size_t name_end = text.rfind(')');
    if (name_end == std::string::npos) continue;  // it went
    std::istringstream fields(text.substr(name_end + 1));
    std::string skipped;
    for (int i = 3; i < 14; ++i) fields >> skipped;
    for (int i = 0; i < 4; ++i) {  // utime, stime, and those of its children that were waited for
      long value = 0;
      fields >> value;
      ticks += value;
    }
  }
  return static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

uint64_t Running::resident_bytes() const {
  uint64_t kib = 0;
  for (const pid_t pid : processes()) {
    // What is shared is counted once, divided among those who share it.
    std::ifstream lines("/proc/" + std::to_string(pid) + "/smaps_rollup");
    for (std::string line; std::getline(lines, line);) {
      if (line.rfind("Pss:", 0) == 0) kib += std::strtoull(line.c_str() + 4, nullptr, 10);
    }
  }
  return kib * 1024;
}

}  // namespace mvm::bench
