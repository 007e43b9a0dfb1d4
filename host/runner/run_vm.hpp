// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>

#include <boost/asio/io_context.hpp>

#include "base/log.hpp"
#include "base/result.hpp"
#include "plugin/plugin_finder.hpp"
#include "runner/boot_reporter.hpp"
#include "store/vm_store.hpp"

#include "mvm/host/control.pb.h"

namespace mvm::host {

struct RunOptions {
  bool foreground = false;  // log to standard error as well, leave descriptors 0-2 alone
  log::Level log_level = log::Level::info;
  std::string default_hypervisor;
};

// How long the plugin may take to boot: what was asked for, or the default.
std::chrono::milliseconds boot_timeout(const pb::BootRequest& request);

// Given to the caller once the runner can be asked to stop, e.g. when the caller of a detached boot goes away.
using StopRunner = std::function<void()>;

// Runs a VM in this process until it is gone: takes its lock, plans, loads the plugin, boots. Returns the exit code.
// The reporter hears of the boot's end; every failure goes there, in words. [main thread, no others yet; once a
// process]
int run_vm(boost::asio::io_context& loop, const VmStore& store, const pb::BootRequest& request,
           const RunOptions& options, BootReporter& reporter, const std::function<void(StopRunner)>& on_started);

}  // namespace mvm::host
