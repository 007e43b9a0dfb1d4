// SPDX-License-Identifier: Apache-2.0
// A runner as a job of launchd's, which macOS keeps apart from the terminal and its session: `boot --detach launchd`.
// Spoken to by launchctl(1), so that all of it is tested wherever there is a program of that name. Never run on a Mac
// yet.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "store/vm_name.hpp"

namespace mvm::host {

class LaunchdJob {
 public:
  // Of one VM of one state directory: "org.mvmhost.HASH.NAME".
  LaunchdJob(const std::filesystem::path& home, const VmName& name);

  const std::string& label() const noexcept { return label_; }

  // A property list (plist(5)) that runs the command at once and once, as a program that somebody waits for, with these
  // variables. Errors (invalid): a character in it that XML has no way to write.
  Result<std::string> plist(const std::vector<std::string>& command,
                            const std::map<std::string, std::string>& environment) const;

  // Takes what an earlier boot left out of launchd, and starts the command from a plist at `file`, which is gone when
  // this returns. Errors: unsupported (no launchctl); deadline; failed, with launchctl's own words.
  Result<void> start(const std::filesystem::path& file, const std::vector<std::string>& command) const;

  // Takes the job out of launchd, and ends its process if it has one. Nothing to do is no error. Errors: as start.
  Result<void> boot_out() const;

 private:
  Result<void> boot_out_of(const std::string& domain) const;

  std::string label_;
};

}  // namespace mvm::host
