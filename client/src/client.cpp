// SPDX-License-Identifier: Apache-2.0
// Where C calls in: checks what was given, and lets no exception out.
#include "mvm/client.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>

#include <poll.h>

#include "command.hpp"
#include "json_member.hpp"
#include "vsock.hpp"

using mvm::client::Clock;
using mvm::client::Failure;
using mvm::client::VsockAnswer;
using std::chrono::milliseconds;
using Arguments = std::vector<std::string>;

struct mvmc_client {
  std::string program;
  std::string home;
  Arguments environment;
  milliseconds command_timeout{};

  std::mutex mutex;
  std::map<std::string, std::string> vsock_sockets;  // by VM; under the mutex
};

namespace {

constexpr milliseconds boot_slack{5000};
constexpr milliseconds stop_slack{50'000};  // mvmhost's own bounds beyond the grace add up to less
constexpr milliseconds longest_pause{250};  // between attempts: each is a line in the runner's log

milliseconds or_default(uint32_t given_ms, uint32_t default_ms) {
  return milliseconds(given_ms != 0 ? given_ms : default_ms);
}

void put(mvmc_error* error, int code, const char* message) {
  if (error == nullptr || error->size <= offsetof(mvmc_error, message)) return;
  error->code = code;
  const size_t room = error->size - offsetof(mvmc_error, message) - 1;
  size_t length = std::min(std::strlen(message), room);
  // Not through the middle of a character.
  while (message[length] != '\0' && length > 0 && (static_cast<unsigned char>(message[length]) & 0xc0) == 0x80)
    --length;
  std::memcpy(error->message, message, length);
  error->message[length] = '\0';
}

// Runs it; a failure is the caller's error and returned as `failed`, or as its code where that is asked for.
template <typename Call>
auto guarded(mvmc_error* error, Call call) -> std::pair<int, decltype(call())> {
  try {
    return {MVMC_OK, call()};
  } catch (const Failure& failure) {
    put(error, failure.code(), failure.what());
    return {failure.code(), {}};
  } catch (const std::bad_alloc&) {
    put(error, MVMC_FAILED, "out of memory");
  } catch (const std::exception& unexpected) {
    put(error, MVMC_FAILED, unexpected.what());
  }
  return {MVMC_FAILED, {}};
}

// The struct as this version knows it: what an older caller's lacks is 0, what a newer one's has beyond has to be.
template <typename Options>
Options known(const Options* given, const char* what) {
  Options options{};
  if (given == nullptr) return options;
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (given->size < sizeof(Options))
    throw Failure(MVMC_INVALID, std::string(what) + ": has no size: begin with its initialiser");
  if (std::any_of(bytes + sizeof(Options), bytes + given->size, [](unsigned char b) { return b != 0; })) {
    throw Failure(MVMC_INVALID, std::string(what) + ": asks for what this version does not know: update libmvmclient");
  }
  std::memcpy(&options, given, sizeof options);
  return options;
}

mvmc_client& known(mvmc_client* client) {
  if (client == nullptr) throw Failure(MVMC_INVALID, "client: is NULL");
  return *client;
}

std::string needed(const char* text, const char* what) {
  if (text == nullptr || *text == '\0') throw Failure(MVMC_INVALID, std::string(what) + ": is missing");
  return text;
}

std::string text_or_empty(const char* text) { return text != nullptr ? text : ""; }

// What begins with '-' is a value too; an empty one stands by itself, as typed with "".
void add_option(Arguments& arguments, const std::string& option, const char* value) {
  if (value == nullptr) return;
  if (*value != '\0') {
    arguments.push_back(option + "=" + value);
  } else {
    arguments.insert(arguments.end(), {option, ""});
  }
}

void add_list(Arguments& arguments, const std::string& option, const char* const* list) {
  if (list == nullptr) return;
  if (*list == nullptr) add_option(arguments, option, "");
  for (; *list != nullptr; ++list) add_option(arguments, option, *list);
}

std::string run(const mvmc_client& client, const Arguments& arguments, Clock::time_point deadline) {
  Arguments command = {client.program, "--quiet", "--output", "json"};
  if (!client.home.empty()) add_option(command, "--home", client.home.c_str());
  command.insert(command.end(), arguments.begin(), arguments.end());
  return mvm::client::run(command, client.environment, deadline);
}

std::string run(const mvmc_client& client, const Arguments& arguments) {
  return run(client, arguments, Clock::now() + client.command_timeout);
}

char* returned(const std::string& text) {
  char* copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

Arguments boot_arguments(const mvmc_boot_options& o, milliseconds timeout) {
  Arguments arguments = {"boot"};
  const std::string name = needed(o.name, "name");
  add_option(arguments, "--hypervisor", o.hypervisor);
  add_option(arguments, "--plugin", o.plugin);
  add_option(arguments, "--kernel", o.kernel);
  add_option(arguments, "--initrd", o.initrd);
  add_option(arguments, "--cmdline", o.cmdline);
  add_option(arguments, "--rootfs", o.rootfs);
  if (o.cpus != 0) add_option(arguments, "--cpus", std::to_string(o.cpus).c_str());
  if (o.memory_bytes != 0) add_option(arguments, "--memory", std::to_string(o.memory_bytes).c_str());
  if (o.fresh != 0) arguments.emplace_back("--fresh");
  add_list(arguments, "--share", o.shares);
  add_list(arguments, "--publish", o.publish);
  add_option(arguments, "--timeout", (std::to_string(timeout.count()) + "ms").c_str());
  for (const char* const* extra = o.extra_args; extra != nullptr && *extra != nullptr; ++extra) {
    arguments.emplace_back(*extra);
  }
  arguments.insert(arguments.end(), {"--", name});
  return arguments;
}

// The VM's vsock.sock as `inspect` tells it. Throws Failure where it does not run.
std::string inspect_socket(mvmc_client& client, const std::string& name, Clock::time_point deadline) {
  const std::string details =
      run(client, {"inspect", "--", name}, std::min(deadline, Clock::now() + client.command_timeout));
  const std::string state = mvm::client::json_member(details, "state").value_or("");
  if (state != "running" && state != "starting" && state != "paused" && state != "stopping") {
    throw Failure(MVMC_FAILED, name + ": is " + (state.empty() ? "in no known state" : state) + ": boot it first");
  }
  const std::string path = mvm::client::json_member(details, "vsock_socket").value_or("");
  if (path.empty()) throw Failure(MVMC_FAILED, name + ": has no vsock.sock");
  const std::lock_guard lock(client.mutex);
  return client.vsock_sockets[name] = path;
}

std::string cached_socket(mvmc_client& client, const std::string& name) {
  const std::lock_guard lock(client.mutex);
  const auto found = client.vsock_sockets.find(name);
  return found != client.vsock_sockets.end() ? found->second : "";
}

int connect(mvmc_client& client, const std::string& name, uint32_t port, milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  std::string path = cached_socket(client, name);
  bool fresh = path.empty();
  if (fresh) path = inspect_socket(client, name, deadline);
  for (milliseconds pause{2};; pause = std::min(pause * 2, longest_pause)) {
    auto tried = mvm::client::connect_vsock(path, port, deadline);
    if (tried.answer == VsockAnswer::connected) return tried.stream.release();
    if (tried.answer == VsockAnswer::no_socket) {
      if (fresh) throw Failure(MVMC_FAILED, name + ": nobody serves " + path + ": is it stopping?");
      path = inspect_socket(client, name, deadline);
      fresh = true;
      continue;
    }
    fresh = false;  // somebody was there: it may have moved since
    if (tried.answer == VsockAnswer::no_answer || Clock::now() >= deadline) {
      throw Failure(MVMC_DEADLINE, name + ": vsock port " + std::to_string(port) + ": not to be reached within " +
                                       std::to_string(timeout.count()) + " ms: does the guest listen there?");
    }
    // vsock.sock has no event for a port that comes to be listened on.
    ::poll(nullptr, 0, std::min(static_cast<int>(pause.count()), mvm::client::milliseconds_until(deadline)));
  }
}

}  // namespace

const char* mvmc_version(void) { return MVM_CLIENT_VERSION; }

mvmc_client* mvmc_open(const mvmc_options* given, mvmc_error* error) {
  return guarded(error,
                 [&] {
                   const mvmc_options options = known(given, "mvmc_options");
                   auto client = std::make_unique<mvmc_client>();
                   client->program = mvm::client::find_program(text_or_empty(options.program));
                   client->home = text_or_empty(options.home);
                   client->environment = mvm::client::copy_environment();
                   client->command_timeout = or_default(options.command_timeout_ms, 30'000);
                   return client.release();
                 })
      .second;
}

void mvmc_close(mvmc_client* client) { delete client; }

int mvmc_boot(mvmc_client* client, const mvmc_boot_options* given, mvmc_error* error) {
  return guarded(error,
                 [&] {
                   const mvmc_boot_options options = known(given, "mvmc_boot_options");
                   const milliseconds timeout = or_default(options.timeout_ms, 30'000);
                   const Arguments arguments = boot_arguments(options, timeout);
                   return run(known(client), arguments, Clock::now() + timeout + boot_slack);
                 })
      .first;
}

int mvmc_stop(mvmc_client* client, const char* name, int force, uint32_t timeout_ms, mvmc_error* error) {
  return guarded(error,
                 [&] {
                   const milliseconds grace = or_default(timeout_ms, 30'000);
                   Arguments arguments = {"stop", "--timeout=" + std::to_string(grace.count()) + "ms"};
                   if (force != 0) arguments.emplace_back("--force");
                   arguments.insert(arguments.end(), {"--", needed(name, "name")});
                   return run(known(client), arguments, Clock::now() + grace + stop_slack);
                 })
      .first;
}

int mvmc_rm(mvmc_client* client, const char* name, mvmc_error* error) {
  return guarded(error, [&] { return run(known(client), {"rm", "--", needed(name, "name")}); }).first;
}

char* mvmc_list_json(mvmc_client* client, mvmc_error* error) {
  return guarded(error, [&] { return returned(run(known(client), {"list"})); }).second;
}

char* mvmc_inspect_json(mvmc_client* client, const char* name, mvmc_error* error) {
  return guarded(error, [&] { return returned(run(known(client), {"inspect", "--", needed(name, "name")})); }).second;
}

char* mvmc_json_member(const char* object, const char* key) {
  if (object == nullptr || key == nullptr) return nullptr;
  return guarded(nullptr,
                 [&]() -> char* {
                   const auto found = mvm::client::json_member(object, key);
                   return found ? returned(*found) : nullptr;
                 })
      .second;
}

void mvmc_free(char* text) { std::free(text); }

int mvmc_connect(mvmc_client* client, const char* name, uint32_t port, uint32_t timeout_ms, mvmc_error* error) {
  const auto [code, fd] = guarded(error, [&] {
    if (port == 0 || port == UINT32_MAX) {
      throw Failure(MVMC_INVALID, "vsock port " + std::to_string(port) + ": use 1 to 4294967294");
    }
    return connect(known(client), needed(name, "name"), port, or_default(timeout_ms, 10'000));
  });
  return code == MVMC_OK ? fd : -1;
}

int mvmc_share_dir(mvmc_client* client, const char* name, const char* directory, const char* tag, int writable,
                   mvmc_error* error) {
  return guarded(error,
                 [&] {
                   Arguments arguments = {"share-dir"};
                   add_option(arguments, "--tag", tag);
                   if (writable != 0) arguments.emplace_back("--rw");
                   arguments.insert(arguments.end(), {"--", needed(name, "name"), needed(directory, "directory")});
                   return run(known(client), arguments);
                 })
      .first;
}

int mvmc_unshare_dir(mvmc_client* client, const char* name, const char* tag, mvmc_error* error) {
  return guarded(error,
                 [&] {
                   return run(known(client), {"unshare-dir", "--", needed(name, "name"), needed(tag, "tag")});
                 })
      .first;
}
