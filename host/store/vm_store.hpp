// SPDX-License-Identifier: Apache-2.0
// What is known of all VMs: $MVM_HOME/vms/NAME/. Reading changes nothing and needs no lock; writing a VM's record is
// for whoever holds its lock.
#pragma once

#include <filesystem>
#include <optional>

#include "base/file.hpp"
#include "base/result.hpp"
#include "store/vm_list.hpp"
#include "store/vm_lock.hpp"
#include "store/vm_name.hpp"
#include "store/vm_paths.hpp"
#include "store/vm_state.hpp"

#include "mvm/host/record.pb.h"
#include "mvm/host/view.pb.h"

namespace mvm::host {

class VmIndex;

// What `list` shows of a VM.
pb::VmSummary summary_of(const pb::VmRecord& record);

class VmStore {
 public:
  // `chosen`: --home, or empty: $MVM_HOME, or ~/.mvm. Made absolute. Doesn't touch the disk.
  static Result<VmStore> at(const std::filesystem::path& chosen);

  const std::filesystem::path& home() const noexcept { return home_; }
  VmPaths paths(const VmName& name) const { return {home_ / "vms" / name.str()}; }

  // Makes home and vms/ where missing, and checks that they are ours and writable.
  Result<void> prepare() const;

  bool exists(const VmName& name) const;

  // The record as it stands on disk. Errors: not_found (no such VM); invalid (damaged); failed (of a newer format,
  // unreadable).
  Result<pb::VmRecord> read(const VmName& name) const;

  // The record as it is in truth: one that says a runner lives when none does says crashed, with what its crash note
  // knows. Errors: not_found. A damaged record is a VM too: state failed, and last_error says so.
  Result<pb::VmRecord> look(const VmName& name) const;

  // What look() would say of each of them, in short and by name. A home that does not exist has none. Reads the records
  // that have changed since the last time (vm_index.hpp), with more than a thousand VMs on several threads, which are
  // gone when it returns. Errors (failed): home unreadable.
  Result<VmList> list() const;

  // Replaces the record in one step. [holder of the VM's lock]
  Result<void> write(const pb::VmRecord& record, Durability durability = Durability::synced) const;

  // After a boot whose runner died before it wrote down that it boots: puts what its note tells into the record of the
  // boot before, which then says failed. Nothing to do where a runner lives, or none died so. [any process of the
  // user's]
  void keep_last_words(const VmName& name) const;

  // Keeps a damaged record aside as record.json.damaged, so that a new one can be written. [holder of the VM's lock]
  Result<void> set_damaged_record_aside(const VmName& name) const;

  // Deletes the VM's directory with all in it, and its sockets. [holder of the VM's lock]
  Result<void> remove(const VmName& name) const;

 private:
  explicit VmStore(std::filesystem::path home) : home_(std::move(home)) {}
  pb::VmRecord look_at(const VmName& name, Result<pb::VmRecord> record) const;
  struct Seen;
  Seen see(const VmIndex& index, int vms, const VmName& name, google::protobuf::Arena& arena) const;
  std::filesystem::path home_;
};

}  // namespace mvm::host
