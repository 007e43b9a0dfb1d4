// SPDX-License-Identifier: Apache-2.0
// A plugin by somebody who links the whole dynamic libprotobuf and compiles our .proto as it is: reflection,
// descriptors and JSON, beside a host with a runtime of its own.
#include <memory>
#include <string>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

#include "mvm/plugin.hpp"
#include "mvm/v1/hypervisor.pb.h"

namespace {

namespace v1 = mvm::v1;

class FullProtobufHypervisor final : public mvm::Hypervisor {
 public:
  FullProtobufHypervisor(mvm::Host, mvm::Bytes config) { mvm::parse<v1::InstanceConfig>(config); }

  std::string info() override {
    v1::HypervisorInfo info;
    info.set_max_cpus(1);
    info.add_features(v1::VmSpec::descriptor()->full_name());  // from the descriptor pool
    return info.SerializeAsString();
  }

  void boot(mvm::Bytes bytes, mvm::Completion done) override {
    const auto spec = mvm::parse<v1::VmSpec>(bytes);
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(spec, &json).ok()) {
      throw mvm::Error(MVM_ERR_INTERNAL, "spec: does not become JSON");
    }
    vm_.set_name(spec.name());
    vm_.set_state(v1::VM_STATE_RUNNING);
    vm_.set_guest_address(json);
    done.succeed(vm_.SerializeAsString());
  }

  void stop(mvm::Bytes, mvm::Completion done) override {
    vm_.Clear();
    done.succeed();
  }

  std::string list() override {
    v1::VmList all;
    if (!vm_.name().empty()) *all.add_vms() = vm_;
    return all.SerializeAsString();
  }

  void vsock_connect(mvm::Bytes, mvm::FdCompletion done) override {
    done.fail(MVM_ERR_UNSUPPORTED, "vsock_connect: not here");
  }
  void share_dir(mvm::Bytes, mvm::Completion done) override { done.fail(MVM_ERR_UNSUPPORTED, "share_dir: not here"); }

 private:
  v1::VmInfo vm_;
};

}  // namespace

MVM_PLUGIN(FullProtobufHypervisor, "full-protobuf", "1.0", "the tests")
