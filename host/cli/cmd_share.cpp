// SPDX-License-Identifier: Apache-2.0
// share-dir and unshare-dir.
#include <filesystem>

#include <CLI/CLI.hpp>

#include "cli/running_vm.hpp"

namespace mvm::host {
namespace {

constexpr std::chrono::milliseconds answer_limit{30'000};

struct ShareOptions {
  std::string name;
  std::string directory;
  std::string tag;
  bool writable = false;
};

Result<int> share(const GlobalOptions& globals, const ShareOptions& options) {
  MVM_TRY(const auto client, connect_vm(globals, options.name));
  pb::ControlRequest request;
  auto* wanted = request.mutable_share_dir()->mutable_share();
  wanted->set_path(std::filesystem::absolute(options.directory).lexically_normal().string());
  wanted->set_tag(options.tag);
  wanted->set_read_only(!options.writable);
  MVM_CHECK(client->call(request, answer_limit));
  return 0;
}

Result<int> unshare(const GlobalOptions& globals, const ShareOptions& options) {
  MVM_TRY(const auto client, connect_vm(globals, options.name));
  pb::ControlRequest request;
  request.mutable_unshare_dir()->set_tag(options.tag);
  MVM_CHECK(client->call(request, answer_limit));
  return 0;
}

}  // namespace

void add_share(CLI::App& app, const GlobalOptions& globals, Action& action) {
  auto options = std::make_shared<ShareOptions>();
  auto* share_command = app.add_subcommand("share-dir", "Share a directory with a running VM, read-only unless --rw");
  share_command->add_option("NAME", options->name, "The VM")->required();
  share_command->add_option("DIR", options->directory, "The directory")->required();
  share_command->add_option("--tag", options->tag, "What the guest mounts it by (default: the directory's name)");
  share_command->add_flag("--rw", options->writable, "Let the guest write to it");
  share_command->callback(
      [&globals, &action, options] { action = [&globals, options] { return share(globals, *options); }; });

  auto* unshare_command = app.add_subcommand("unshare-dir", "Take a shared directory away from a running VM");
  unshare_command->add_option("NAME", options->name, "The VM")->required();
  unshare_command->add_option("TAG", options->tag, "Its tag")->required();
  unshare_command->callback(
      [&globals, &action, options] { action = [&globals, options] { return unshare(globals, *options); }; });
}

}  // namespace mvm::host
