// SPDX-License-Identifier: Apache-2.0
// One instance of a plugin through the host's proxy, and what it tells its host. Whatever the proxy found against the
// rules is in log().
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "check/call.hpp"
#include "check/check.hpp"
#include "check/subject.hpp"
#include "plugin/plugin_hypervisor.hpp"

namespace mvm::host::check {

// Without a kernel of its own a check can only try the stand-in, which a real hypervisor does not boot.
struct BootFailed : Ended {
  explicit BootFailed(const std::string& why)
      : Ended(subject().kernel.empty() ? Verdict::skipped : Verdict::failed,
              subject().kernel.empty() ? "does not boot the stand-in kernel (say --kernel): " + why : "boot: " + why) {}
};

// What the host would keep as console.log.
class ConsoleLog {
 public:
  ConsoleLog() = default;
  ConsoleLog(const ConsoleLog&) = delete;
  ConsoleLog& operator=(const ConsoleLog&) = delete;
  ~ConsoleLog();
  UniqueFd open();
  // Waits for the text; false when it has not come within the deadline.
  bool wait_for(const std::string& text);
  bool wait_for_end();
  bool opened();

 private:
  void read(UniqueFd fd);
  std::mutex mutex_;
  std::condition_variable more_;
  std::string text_;
  bool ended_ = false;
  std::vector<std::thread> readers_;
};

class Machine : public CallObserver {
 public:
  explicit Machine(const std::filesystem::path& plugin = subject().plugin, const std::string& name = "");
  ~Machine() override;

  PluginHypervisor& hv() { return *hv_; }
  const v1::HypervisorInfo& info() const { return info_; }
  // Whether the guest or the hypervisor can be told so: by an option of the plugin's, or by the subject's script.
  bool has_option(const std::string& key, const std::string& value = "") const;
  void set_option(v1::VmSpec& spec, const std::string& key, const std::string& value) const;
  bool has_extension(const std::string& id) const { return hv_->has_extension(id); }
  ConsoleLog& console() { return console_; }

  // A spec that should boot.
  v1::VmSpec spec() const;
  Outcome boot(const v1::VmSpec& spec);
  void must_boot(const v1::VmSpec& spec);  // or the check ends
  // For checks of a boot that ends in another way: skipped where there is only the stand-in kernel, and none boots it.
  void must_be_able_to_boot();
  // Boots a spec with these options, or the check ends.
  void start(const std::map<std::string, std::string>& options = {});
  Outcome stop(bool force, uint32_t timeout_ms = 0);
  Outcome connect(uint32_t port, uint32_t timeout_ms = 0);
  UniqueFd open_stream(uint32_t port);  // fails the test if it does not connect
  Outcome share(const std::string& tag, const std::string& path, bool read_only);
  Outcome unshare(const std::string& tag);
  Outcome pause();
  Outcome resume();
  v1::VmList list();

  std::optional<v1::VmExited> wait_for_exit();
  bool exits_within(std::chrono::milliseconds limit);
  size_t events();
  void destroy();  // the instance
  std::string log() const;
  bool wait_for_log(const std::string& text) const;
  // Who else is told of every call of every machine's, so that a crash can be blamed on one; null: nobody.
  static CallObserver*& call_log();
  std::vector<std::string> calls();  // into the plugin, as the observer saw them

 private:
  void call_begins(std::string_view call) noexcept override;
  void call_returned() noexcept override;
  HostServices services();
  void take_event(v1::VmEvent event);

  TempDir dir_;
  ConsoleLog console_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<v1::VmEvent> events_;
  std::vector<std::string> calls_;
  std::unique_ptr<PluginHypervisor> hv_;
  v1::HypervisorInfo info_;
};

void check_no_rule_was_broken(const Machine& machine);

// Serialised bytes that no message is.
inline const std::string garbage = "\xff\xff\xff\xff\xff garbage";

}  // namespace mvm::host::check
