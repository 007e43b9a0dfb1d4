// SPDX-License-Identifier: Apache-2.0
// The directories that a guest has: a virtiofsd each, plugged into one of the ports reserved for them, before the guest
// runs as well as later. Lives on the loop's thread.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "limits.hpp"
#include "mvm/plugin.hpp"
#include "mvm/v1/hypervisor.pb.h"
#include "qemu_process.hpp"
#include "share/share_daemon.hpp"

namespace mvm::qemu {

class ShareSlots {
 public:
  // on_change: those in force are others now.
  struct Ground {
    boost::asio::io_context& loop;
    Host host;
    std::string state_dir;
    SharingSupport support;
    std::function<void()> on_change;
  };

  // How long a guest has to let go of a device.
  static constexpr std::chrono::milliseconds removal_limit{10'000};

  explicit ShareSlots(Ground ground) : ground_(std::move(ground)) {}
  ~ShareSlots() { cancel("the VM is gone"); }
  ShareSlots(const ShareSlots&) = delete;
  ShareSlots& operator=(const ShareSlots&) = delete;

  // The QEMU that they are plugged into.
  void plug_into(std::weak_ptr<QemuProcess> qemu) { qemu_ = std::move(qemu); }

  void add(const v1::Share& share, Completion done);
  // MVM_ERR_DEADLINE when the guest does not let go of it: it then stays.
  void remove(const std::string& tag, Completion done);
  void take_event(const QmpEvent& event);

  std::vector<v1::Share> in_force() const;

  // MVM_ERR_CANCELLED for what is open; the daemons end.
  void cancel(const std::string& words);

 private:
  enum class Stage { starting, plugged, leaving };

  struct Slot {
    size_t number;
    v1::Share share;
    Stage stage = Stage::starting;
    std::unique_ptr<ShareDaemon> daemon;
    std::vector<Completion> adding;  // one, or none
    std::vector<Completion> removing;
    std::shared_ptr<boost::asio::steady_timer> deadline;

    std::string subject() const { return "share " + share.tag() + ": "; }
    std::string device() const { return "fs" + std::to_string(number); }
    std::string chardev() const { return "fs-socket" + std::to_string(number); }
  };
  using SlotPtr = std::shared_ptr<Slot>;
  using Next = void (ShareSlots::*)(const SlotPtr& slot);

  SlotPtr take_free_slot(const v1::Share& share);
  SlotPtr find(const std::string& tag) const;
  void pass_socket(const SlotPtr& slot, UniqueFd front_end);
  void add_chardev(const SlotPtr& slot);
  void add_device(const SlotPtr& slot);
  void plugged(const SlotPtr& slot);
  void execute(const SlotPtr& slot, const std::string& command, nlohmann::json arguments, Next next,
               UniqueFd attached = UniqueFd());
  void fail_adding(const SlotPtr& slot, mvm_status status, const std::string& words);
  void daemon_exited(const SlotPtr& slot, const std::string& words);
  void unplug(const SlotPtr& slot);
  void give_up_removing(const SlotPtr& slot, const std::string& words);
  void removed(const SlotPtr& slot);
  void release(const SlotPtr& slot);
  void send(const std::string& command, nlohmann::json arguments, QmpClient::OnReply on_reply,
            UniqueFd attached = UniqueFd());
  bool holds(const SlotPtr& slot) const { return slots_[slot->number] == slot; }

  Ground ground_;
  std::weak_ptr<QemuProcess> qemu_;
  std::array<SlotPtr, max_shares> slots_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();  // what is called later finds out by it that this is gone
};

}  // namespace mvm::qemu
