// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "base/json.hpp"
#include "base/parse.hpp"
#include "cli/running_vm.hpp"
#include "plugin/plugin_finder.hpp"
#include "runner/boot_plan.hpp"

#include "mvm/host/view.pb.h"

namespace mvm::host {
namespace {

constexpr std::chrono::milliseconds answer_limit{5000};

// What only the runner knows, where there is one.
pb::InspectReply ask_runner(const NamedVm& vm) {
  pb::InspectReply nothing;
  *nothing.mutable_record() = vm.record;
  *nothing.mutable_info()->mutable_shares() = vm.record.spec().shares();
  if (!vm.active()) return nothing;
  auto client = vm.connect();
  if (!client) return nothing;
  pb::ControlRequest request;
  request.mutable_inspect();
  auto answer = (*client)->call(request, answer_limit);
  return answer && answer->reply.has_inspected() ? answer->reply.inspected() : nothing;
}

void fill_paths(const NamedVm& vm, pb::VmDetails& details) {
  const VmPaths files = vm.store.paths(vm.name);
  details.set_directory(files.directory.string());
  details.set_console_log(files.console_log().string());
  details.set_runner_log(files.runner_log().string());
  if (!vm.record.socket_dir().empty()) {
    const VmSockets sockets{vm.record.socket_dir()};
    details.set_control_socket(sockets.control().string());
    details.set_vsock_socket(sockets.vsock().string());
  }
  const auto& spec = vm.record.spec();
  if (!spec.rootfs().empty()) {
    details.set_rootfs(plan_rootfs(vm.record, files, false).file.string());
  }
}

pb::VmDetails details_of(const NamedVm& vm) {
  const pb::InspectReply live = ask_runner(vm);
  const pb::VmRecord& record = live.record();
  pb::VmDetails details;
  details.set_name(record.name());
  details.set_hypervisor(record.hypervisor());
  details.set_state(record.state());
  details.set_pid(record.pid());
  details.set_cpus(record.spec().cpus());
  details.set_memory_bytes(record.spec().memory_bytes());
  details.set_created_at(record.created_at());
  details.set_started_at(record.started_at());
  details.set_ended_at(record.ended_at());
  details.set_exit_reason(record.exit_reason());
  details.set_last_error(record.last_error());
  *details.mutable_spec() = record.spec();
  *details.mutable_shares() = live.info().shares();
  *details.mutable_published_ports() = record.spec().published_ports();
  *details.mutable_port_traffic() = live.port_traffic();
  details.set_plugin(record.plugin());
  details.set_plugin_version(record.plugin_version());
  details.set_guest_address(live.info().guest_address().empty() ? record.guest_address() : live.info().guest_address());
  details.set_console_pty(record.console_pty());
  details.set_hypervisor_pid(record.hypervisor_pid());
  fill_paths(vm, details);
  return details;
}

std::string for_people(const pb::VmDetails& d) {
  std::vector<std::vector<std::string>> rows;
  const auto row = [&](const char* key, const std::string& value) {
    if (!value.empty()) rows.push_back({key, value});
  };
  row("name", d.name());
  row("state", d.state());
  row("hypervisor", d.plugin_version().empty() ? d.hypervisor() : d.hypervisor() + " " + d.plugin_version());
  row("runner pid", d.pid() != 0 ? std::to_string(d.pid()) : "");
  row("cpus", std::to_string(d.cpus()));
  row("memory", format_size(d.memory_bytes()));
  row("created", d.created_at());
  row("started", d.started_at());
  row("ended", d.ended_at());
  row("exit reason", d.exit_reason());
  row("last error", d.last_error());
  row("kernel", d.spec().kernel());
  row("initrd", d.spec().initrd());
  row("cmdline", d.spec().cmdline());
  row("rootfs", d.rootfs());
  for (const auto& disk : d.spec().disks()) row("disk", disk.path() + (disk.read_only() ? " (read-only)" : ""));
  for (const auto& share : d.shares()) {
    row("share", formatted("{} as {} ({})", share.path(), share.tag(), share.read_only() ? "read-only" : "read-write"));
  }
  for (const auto& port : d.published_ports()) {
    row("published",
        formatted("{} to guest port {}", host_end_text(port.address(), port.host_port()), port.guest_port()));
  }
  for (const auto& t : d.port_traffic()) {
    row("traffic", formatted("{}: {} open, {} connections, {} refused, {} B to the guest, {} B from it",
                             host_end_text(t.port().address(), t.port().host_port()), t.open(), t.connections(),
                             t.refused(), t.bytes_to_guest(), t.bytes_from_guest()));
  }
  for (const auto& [key, value] : d.spec().options()) row("option", formatted("{}={}", key, value));
  row("guest address", d.guest_address());
  row("control socket", d.control_socket());
  row("vsock socket", d.vsock_socket());
  row("console pty", d.console_pty());
  row("console log", d.console_log());
  row("runner log", d.runner_log());
  return format_table(rows);
}

}  // namespace

void add_inspect(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto* command = app.add_subcommand("inspect", "Show all there is to know of a VM");
  auto name = std::make_shared<std::string>();
  command->add_option("NAME", *name, "The VM")->required();
  command->callback([&globals, &action, name] {
    action = [&globals, name]() -> Result<int> {
      MVM_TRY(const NamedVm vm, find_vm(globals, *name));
      const pb::VmDetails details = details_of(vm);
      MVM_CHECK(print(globals.json() ? to_json(details) + "\n" : for_people(details)));
      return 0;
    };
  });
}

}  // namespace mvm::host
