// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include <google/protobuf/arena.h>
#include <boost/iterator/indirect_iterator.hpp>

#include "mvm/host/view.pb.h"

namespace mvm::host {

// What `list` shows, by name. The summaries lie on one arena, which this owns: of ten thousand VMs none is copied.
class VmList {
 public:
  VmList() = default;
  VmList(std::unique_ptr<google::protobuf::Arena> arena, std::vector<pb::VmSummary*> vms)
      : arena_(std::move(arena)), vms_(std::move(vms)) {}

  size_t size() const noexcept { return vms_.size(); }
  bool empty() const noexcept { return vms_.empty(); }
  const pb::VmSummary& at(size_t i) const { return *vms_.at(i); }
  auto begin() const { return boost::make_indirect_iterator(vms_.begin()); }
  auto end() const { return boost::make_indirect_iterator(vms_.end()); }

 private:
  std::unique_ptr<google::protobuf::Arena> arena_;
  std::vector<pb::VmSummary*> vms_;
};

}  // namespace mvm::host
