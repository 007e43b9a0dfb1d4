// SPDX-License-Identifier: Apache-2.0
#include "launch/plugin_probe.hpp"

#include <csignal>
#include <optional>

#include <boost/asio/io_context.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.hpp"
#include "control/channel.hpp"
#include "launch/spawn.hpp"
#include "plugin/plugin_hypervisor.hpp"

namespace mvm::host {
namespace {

// No VM is ever booted here.
HostServices probing_services() {
  HostServices services;
  services.log_enabled = [](int32_t) { return false; };
  services.log = [](int32_t, std::string_view) {};
  services.event = [](const v1::VmEvent&) {};
  services.console_open = [](std::string_view) -> Result<UniqueFd> {
    return fail(ErrorKind::failed, "console: none while probing");
  };
  return services;
}

Result<pb::PluginView> look_into(const std::filesystem::path& path, const std::string& name) {
  MVM_TRY(auto library, PluginLibrary::load(path, name));
  const PluginIdentity id = library->identity();
  MVM_TRY(const auto plugin,
          PluginHypervisor::create(library, v1::InstanceConfig().SerializeAsString(), probing_services(), nullptr));
  MVM_TRY(const auto info, plugin->describe());
  pb::PluginView view;
  view.set_name(id.name);
  view.set_version(id.version);
  view.set_vendor(id.vendor);
  view.set_file(path.string());
  view.set_abi(formatted("{}.{}", id.abi_major, id.abi_minor));
  view.set_status("ok");
  *view.mutable_extensions() = info.extensions();
  *view.mutable_info() = info;
  return view;
}

}  // namespace

Result<pb::PluginView> probe_plugin(const std::filesystem::path& path, const std::string& name) {
  auto [ours, theirs] = socket_pair();
  if (!ours) return fail(ErrorKind::failed, "{}: {}", path.string(), errno_words(errno));
  MVM_TRY(const pid_t pid, spawn_self({"plugins", "--probe", path.string(), "--probe-name", name}, theirs.get()));
  theirs.reset();

  boost::asio::io_context loop(1);
  std::optional<pb::PluginView> view;
  bool closed = false;
  const auto channel = Channel::open(
      loop, std::move(ours),
      [&](Channel&, std::string_view bytes) {
        view.emplace();
        if (!view->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) view.reset();
      },
      [&](Channel&) { closed = true; });
  const auto end = std::chrono::steady_clock::now() + probe_limit;
  while (!view && !closed && std::chrono::steady_clock::now() < end) {
    loop.restart();
    loop.run_one_until(end);
  }
  if (!view && !closed) ::kill(pid, SIGKILL);
  const std::string ended = how_child_ended(pid);
  if (view && view->status() == "ok") return *view;
  if (view) return fail(ErrorKind::failed, "{}", view->reason());
  if (closed) return fail(ErrorKind::failed, "{}: a process that loaded it {}", path.string(), ended);
  return fail(ErrorKind::failed, "{}: did not load within {} s", path.string(), probe_limit.count() / 1000);
}

pb::PluginView passed_over(const PluginCandidate& candidate, const std::string& reason) {
  pb::PluginView view;
  view.set_name(candidate.name);
  view.set_file(candidate.path.string());
  view.set_status(candidate.shadowed ? "shadowed" : "refused");
  view.set_reason(reason);
  return view;
}

int answer_probe(const std::filesystem::path& path, const std::string& name) {
  // What a plugin prints while it loads is none of the list's.
  const UniqueFd null = open_file("/dev/null", O_RDWR);
  for (int standard = 0; null && standard < launch_fd; ++standard) ::dup2(null.get(), standard);
  pb::PluginView view;
  if (auto looked = look_into(path, name)) {
    view = *looked;
  } else {
    view.set_reason(looked.error().message);
  }
  const std::string bytes = view.SerializeAsString();
  boost::asio::io_context loop(1);
  const auto channel = Channel::open(
      loop, UniqueFd(launch_fd), [](Channel&, std::string_view) {}, [](Channel&) {});
  channel->send(bytes);
  channel->close_when_sent();
  return 0;
}

}  // namespace mvm::host
