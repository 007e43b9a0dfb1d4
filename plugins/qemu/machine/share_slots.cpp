// SPDX-License-Identifier: Apache-2.0
#include "share_slots.hpp"

#include <algorithm>
#include <utility>

#include "command_line.hpp"
#include "spec_check.hpp"

namespace mvm::qemu {

using nlohmann::json;

// ---- in

void ShareSlots::add(const v1::Share& share, Completion done) {
  check_share_tag(share.tag());
  const SlotPtr slot = take_free_slot(share);
  slot->adding.push_back(std::move(done));
  try {
    slot->daemon = ShareDaemon::start(ground_.loop, ground_.support,
                                      {share.tag(), share.path(), share.read_only(), ground_.state_dir});
  } catch (...) {
    slot->adding.front().fail_with_current_exception();
    return release(slot);
  }
  // The daemon goes before this does, and then calls nobody.
  slot->daemon->on_ready([this, slot](UniqueFd front_end) { pass_socket(slot, std::move(front_end)); });
  slot->daemon->on_exit([this, slot](ExitStatus, const std::string& words) { daemon_exited(slot, words); });
}

ShareSlots::SlotPtr ShareSlots::take_free_slot(const v1::Share& share) {
  if (find(share.tag())) throw Error(MVM_ERR_BUSY, "share " + share.tag() + ": this tag is in use");
  const auto free = std::find(slots_.begin(), slots_.end(), nullptr);
  if (free == slots_.end()) {
    throw Error(MVM_ERR_BUSY, "share " + share.tag() + ": a guest has at most " + std::to_string(max_shares) +
                                  " shares; take one away first");
  }
  *free = std::make_shared<Slot>();
  (*free)->number = static_cast<size_t>(free - slots_.begin());
  (*free)->share = share;
  return *free;
}

ShareSlots::SlotPtr ShareSlots::find(const std::string& tag) const {
  const auto found =
      std::find_if(slots_.begin(), slots_.end(), [&](const SlotPtr& s) { return s && s->share.tag() == tag; });
  return found == slots_.end() ? nullptr : *found;
}

void ShareSlots::pass_socket(const SlotPtr& slot, UniqueFd front_end) {
  execute(slot, "getfd", {{"fdname", slot->chardev()}}, &ShareSlots::add_chardev, std::move(front_end));
}

void ShareSlots::add_chardev(const SlotPtr& slot) {
  const json address{{"type", "fd"}, {"data", {{"str", slot->chardev()}}}};
  const json backend{{"type", "socket"}, {"data", {{"addr", address}, {"server", false}}}};
  execute(slot, "chardev-add", {{"id", slot->chardev()}, {"backend", backend}}, &ShareSlots::add_device);
}

void ShareSlots::add_device(const SlotPtr& slot) {
  execute(slot, "device_add",
          {{"driver", "vhost-user-fs-pci"},
           {"id", slot->device()},
           {"bus", share_port(slot->number)},
           {"chardev", slot->chardev()},
           {"tag", slot->share.tag()},
           {"queue-size", 1024}},
          &ShareSlots::plugged);
}

void ShareSlots::plugged(const SlotPtr& slot) {
  slot->stage = Stage::plugged;
  ground_.on_change();
  for (const Completion& done : std::exchange(slot->adding, {})) done.succeed();
}

void ShareSlots::execute(const SlotPtr& slot, const std::string& command, json arguments, Next next,
                         UniqueFd attached) {
  send(
      command, std::move(arguments),
      [this, slot, next](const QmpReply& reply) {
        if (!holds(slot)) return;
        if (!reply.ok) return fail_adding(slot, MVM_ERR_INTERNAL, slot->subject() + "QEMU refused it: " + reply.error);
        (this->*next)(slot);
      },
      std::move(attached));
}

// A reply that will never come is answered by cancel(), when QEMU's end is known.
void ShareSlots::send(const std::string& command, json arguments, QmpClient::OnReply on_reply, UniqueFd attached) {
  const auto qemu = qemu_.lock();
  if (!qemu) return;
  qemu->execute(
      command, std::move(arguments),
      [alive = std::weak_ptr(alive_), on_reply = std::move(on_reply)](const QmpReply& reply) {
        if (!alive.expired() && !reply.gone) on_reply(reply);
      },
      std::move(attached));
}

void ShareSlots::fail_adding(const SlotPtr& slot, mvm_status status, const std::string& words) {
  // Whichever of them is there; the refusals of the others are expected.
  send("chardev-remove", {{"id", slot->chardev()}}, [](const QmpReply&) {});
  send("closefd", {{"fdname", slot->chardev()}}, [](const QmpReply&) {});
  release(slot);
  for (const Completion& done : std::exchange(slot->adding, {})) done.fail(status, words);
}

void ShareSlots::daemon_exited(const SlotPtr& slot, const std::string& words) {
  if (!holds(slot)) return;
  if (slot->stage == Stage::starting) return fail_adding(slot, MVM_ERR_INTERNAL, words);
  if (slot->stage == Stage::leaving) return;
  // A QEMU that ends closes the daemon's socket too, and will not answer.
  send("query-status", json::object(), [this, slot, words](const QmpReply&) {
    if (!holds(slot) || slot->stage != Stage::plugged) return;
    ground_.host.log(MVM_LOG_ERROR, words + "; the guest has lost this share");
    unplug(slot);
    ground_.on_change();
  });
}

// ---- out

void ShareSlots::remove(const std::string& tag, Completion done) {
  const SlotPtr slot = find(tag);
  if (!slot) throw Error(MVM_ERR_NOT_FOUND, "share " + tag + ": no such tag is shared");
  if (slot->stage == Stage::starting) throw Error(MVM_ERR_BUSY, "share " + tag + ": is still being added");
  slot->removing.push_back(std::move(done));
  slot->deadline = std::make_shared<boost::asio::steady_timer>(ground_.loop, removal_limit);
  slot->deadline->async_wait([this, slot, timer = slot->deadline](const boost::system::error_code& cancelled) {
    if (!cancelled) give_up_removing(slot, "the guest did not let go of it; it is still shared");
  });
  unplug(slot);
}

void ShareSlots::unplug(const SlotPtr& slot) {
  slot->stage = Stage::leaving;
  send("device_del", {{"id", slot->device()}}, [this, slot](const QmpReply& reply) {
    // One that the guest was asked for before is asked for still.
    if (reply.ok || reply.error.find("already in the process of unplug") != std::string::npos || !holds(slot)) return;
    give_up_removing(slot, "QEMU refused to take it away: " + reply.error);
  });
}

void ShareSlots::give_up_removing(const SlotPtr& slot, const std::string& words) {
  slot->stage = Stage::plugged;
  if (slot->deadline) slot->deadline->cancel();
  for (const Completion& done : std::exchange(slot->removing, {})) done.fail(MVM_ERR_DEADLINE, slot->subject() + words);
}

void ShareSlots::take_event(const QmpEvent& event) {
  if (event.name != "DEVICE_DELETED") return;
  const std::string device = event.data.value("device", "");
  const auto found =
      std::find_if(slots_.begin(), slots_.end(), [&](const SlotPtr& s) { return s && s->device() == device; });
  if (found != slots_.end()) removed(*found);
}

// Also long after a removal was given up: guests may take their time.
void ShareSlots::removed(const SlotPtr& gone) {
  // `gone` may be the table's own, which release empties.
  const SlotPtr slot = gone;  // NOLINT(performance-unnecessary-copy-initialization)
  send("chardev-remove", {{"id", slot->chardev()}}, [](const QmpReply&) {});
  release(slot);
  ground_.on_change();
  for (const Completion& done : std::exchange(slot->removing, {})) done.succeed();
}

void ShareSlots::release(const SlotPtr& slot) {
  slots_[slot->number] = nullptr;
  slot->daemon.reset();
  if (slot->deadline) slot->deadline->cancel();
}

// ---- both

std::vector<v1::Share> ShareSlots::in_force() const {
  std::vector<v1::Share> all;
  for (const SlotPtr& slot : slots_) {
    if (slot && slot->stage != Stage::starting) all.push_back(slot->share);
  }
  return all;
}

void ShareSlots::cancel(const std::string& words) {
  for (SlotPtr& taken : slots_) {
    const SlotPtr slot = std::exchange(taken, nullptr);
    if (!slot) continue;
    slot->daemon.reset();
    if (slot->deadline) slot->deadline->cancel();
    for (const Completion& done : std::exchange(slot->adding, {}))
      done.fail(MVM_ERR_CANCELLED, slot->subject() + words);
    for (const Completion& done : std::exchange(slot->removing, {})) {
      done.fail(MVM_ERR_CANCELLED, slot->subject() + words);
    }
  }
}

}  // namespace mvm::qemu
