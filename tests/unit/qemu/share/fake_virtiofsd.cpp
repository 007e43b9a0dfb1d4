// SPDX-License-Identifier: Apache-2.0
// A FAKE virtiofsd, for what the real one cannot show: it takes the command line of the one in Rust and refuses any
// other as that does, greets its front end, and instead of serving a guest does what its file name says. The tests link
// it under several names.
//
//   virtiofsd-rust      answers, and ends when the connection does
//   virtiofsd-writer    tells on descriptor 2 what becomes of writing to what it serves, and to "sub" in it
//   virtiofsd-lister    tells the names in what it serves
//   virtiofsd-mute      accepts, and never answers
//   virtiofsd-dying     says why, and ends with 9
//   virtiofsd-hanging   does not even end at --version
//   virtiofsd-unknown   has the --version of something else
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Options = std::map<std::string, std::string>;

[[noreturn]] void refuse(const std::string& words) {
  std::fprintf(stderr, "error: %s\n", words.c_str());
  std::exit(2);
}

void check_value(const std::string& key, const std::string& value) {
  static const std::map<std::string, std::set<std::string>> known{
      {"--sandbox", {"namespace", "chroot", "none"}},
      {"--cache", {"auto", "always", "metadata", "never"}},
      {"--log-level", {"error", "warn", "info", "debug", "trace", "off"}},
      {"--announce-submounts", {""}},
  };
  const auto found = known.find(key);
  if (found != known.end() && !found->second.contains(value)) refuse("invalid value '" + value + "' for '" + key + "'");
}

Options parse(int argc, char** argv) {
  static const std::set<std::string> known{"--fd",       "--rlimit-nofile", "--thread-pool-size",   "--shared-dir",
                                           "--sandbox",  "--cache",         "--announce-submounts", "--modcaps",
                                           "--log-level"};
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = std::min(argument.find('='), argument.size());
    const std::string key = argument.substr(0, equals);
    const std::string value = equals < argument.size() ? argument.substr(equals + 1) : "";
    if (!known.contains(key)) refuse("unexpected argument '" + key + "' found");
    check_value(key, value);
    if (!options.emplace(key, value).second) refuse("the argument '" + key + "' cannot be used multiple times");
  }
  for (const char* key : {"--fd", "--shared-dir"}) {
    if (!options.contains(key)) refuse(std::string("the argument '") + key + "' is missing");
  }
  return options;
}

int accept_on(const Options& options) {
  const int listening = std::atoi(options.at("--fd").c_str());
  int accepts = 0;
  socklen_t size = sizeof accepts;
  if (::getsockopt(listening, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) != 0 || accepts == 0) {
    refuse("--fd is not a listening socket");
  }
  const int connection = ::accept(listening, nullptr, nullptr);
  if (connection < 0) refuse("accept");
  ::close(listening);
  return connection;
}

// GET_FEATURES, answered in two pieces, as the real one may.
void greet(int connection) {
  uint32_t request[3]{};
  if (::recv(connection, request, sizeof request, MSG_WAITALL) != sizeof request || request[0] != 1) refuse("greeting");
  const uint32_t header[3]{1, 5, 8};
  const uint64_t features = 0x40000000;
  ::send(connection, header, sizeof header, MSG_NOSIGNAL);
  ::send(connection, &features, sizeof features, MSG_NOSIGNAL);
}

void try_to_write(const std::string& directory) {
  const int fd = ::open((directory + "/written").c_str(), O_CREAT | O_WRONLY, 0644);
  std::fprintf(stderr, "%s\n", fd >= 0 ? "written" : std::strerror(errno));
  if (fd >= 0) ::close(fd);
}

void list(const std::string& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::fprintf(stderr, "%s\n", entry.path().filename().c_str());
  }
}

int serve(const std::string& role, const Options& options) {
  const std::string directory = options.at("--shared-dir");
  if (!std::filesystem::is_directory(directory)) refuse(directory + " does not exist");
  const int connection = accept_on(options);
  if (role == "dying") {
    std::fprintf(stderr, "the disk of my dreams\nis full\n");
    return 9;
  }
  if (role == "writer") {
    try_to_write(directory);
    try_to_write(directory + "/sub");
    return 0;
  }
  if (role == "lister") {
    list(directory);
    return 0;
  }
  if (role == "mute") ::pause();
  greet(connection);
  char byte = 0;
  while (::recv(connection, &byte, 1, 0) > 0) continue;
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = std::filesystem::path(argv[0]).filename();
  const std::string role = name.substr(name.rfind('-') + 1);
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    if (role == "hanging") ::pause();
    std::puts(role == "unknown" ? "frobnicator 3" : "virtiofsd 1.13.2");
    return 0;
  }
  return serve(role, parse(argc, argv));
}
