// SPDX-License-Identifier: Apache-2.0
// publish and unpublish.
#include <CLI/CLI.hpp>

#include "cli/published_port.hpp"
#include "cli/running_vm.hpp"

namespace mvm::host {
namespace {

constexpr std::chrono::milliseconds answer_limit{10'000};

struct PublishOptions {
  std::string name;
  std::string port;
};

Result<int> publish(const GlobalOptions& globals, const PublishOptions& options) {
  MVM_TRY(const PortPair pair, parse_publish(options.port, "publish"));
  MVM_TRY(const auto client, connect_vm(globals, options.name));
  pb::ControlRequest request;
  *request.mutable_publish()->mutable_port() = published_port(pair);
  MVM_CHECK(client->call(request, answer_limit));
  return 0;
}

Result<int> unpublish(const GlobalOptions& globals, const PublishOptions& options) {
  MVM_TRY(const PortPair pair, parse_published(options.port));
  MVM_TRY(const auto client, connect_vm(globals, options.name));
  pb::ControlRequest request;
  *request.mutable_unpublish()->mutable_port() = published_port(pair);
  MVM_CHECK(client->call(request, answer_limit));
  return 0;
}

}  // namespace

void add_publish(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto options = std::make_shared<PublishOptions>();
  auto* publish_command = app.add_subcommand("publish", "Publish a port of a running VM's guest");
  publish_command->add_option("NAME", options->name, "The VM")->required();
  publish_command->add_option("PORT", options->port, "[ADDR:]HOST:GUEST or unix:PATH:GUEST")->required();
  publish_command->callback(
      [&globals, &action, options] { action = [&globals, options] { return publish(globals, *options); }; });

  auto* unpublish_command = app.add_subcommand("unpublish", "Publish a port no longer; its connections go on");
  unpublish_command->add_option("NAME", options->name, "The VM")->required();
  unpublish_command->add_option("PORT", options->port, "[ADDR:]HOST[:GUEST] or unix:PATH[:GUEST]")->required();
  unpublish_command->callback(
      [&globals, &action, options] { action = [&globals, options] { return unpublish(globals, *options); }; });
}

}  // namespace mvm::host
