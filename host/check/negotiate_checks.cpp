// SPDX-License-Identifier: Apache-2.0
// The entry point and create, with the tables of hosts of other versions. Without the proxy: it has one version only.
#include <climits>
#include <cstring>
#include <vector>

#include "check/check.hpp"
#include "check/subject.hpp"
#include "mvm/abi.h"
#include "plugin/collecting_sink.hpp"
#include "plugin/plugin_library.hpp"

#include "mvm/v1/hypervisor.pb.h"

namespace mvm::host::check {
namespace {

struct Negotiation {
  mvm_status status = MVM_OK;
  mvm_answer answer{};
  std::string error;
};

std::shared_ptr<const PluginLibrary> library() {
  auto loaded = PluginLibrary::load(subject().plugin, "");
  if (!loaded) throw std::runtime_error(loaded.error().message);
  return *loaded;
}

Negotiation negotiate(const mvm_offer& offer, size_t answer_size = sizeof(mvm_answer)) {
  Negotiation n;
  CollectingSink words;
  n.answer.size = answer_size;
  n.status = library()->entry()(&offer, &n.answer, words.get());
  n.error = words.text();
  return n;
}

constexpr mvm_offer ours{sizeof(mvm_offer), MVM_ABI_MAJOR, MVM_ABI_MAJOR, MVM_ABI_MINOR};

void refused_for_version(uint32_t min_major, uint32_t max_major) {
  const Negotiation n = negotiate({sizeof(mvm_offer), min_major, max_major, 0});
  MVM_EXPECT(n.status == MVM_ERR_ABI);
  MVM_EXPECT(n.error != "");
}

MVM_PLUGIN_CHECK("negotiating may be repeated, and says the same", "negotiate", "MVM-P2", own_vm) {
  const Negotiation first = negotiate(ours);
  MVM_REQUIRE(first.status == MVM_OK);
  for (int n = 0; n < 100; ++n) {
    const Negotiation again = negotiate(ours);
    MVM_REQUIRE(again.status == MVM_OK);
    MVM_REQUIRE(std::strcmp(again.answer.name, first.answer.name) == 0);
    MVM_REQUIRE(again.answer.major == first.answer.major);
    MVM_REQUIRE((again.answer.create == first.answer.create));
  }
}

MVM_PLUGIN_CHECK("a host of the future that still speaks this version is answered with it", "negotiate", "MVM-P2",
                 own_vm) {
  const Negotiation n = negotiate({sizeof(mvm_offer), 1, 99, 7});
  MVM_REQUIRE(n.status == MVM_OK);
  MVM_EXPECT(n.answer.major == MVM_ABI_MAJOR);
  MVM_EXPECT(n.answer.create != nullptr);
}

MVM_PLUGIN_CHECK("a host that speaks later versions only is refused with a reason", "negotiate", "MVM-P2 MVM-P8",
                 own_vm) {
  refused_for_version(98, 99);
}

MVM_PLUGIN_CHECK("a host that speaks older versions only is refused with a reason", "negotiate", "MVM-P2 MVM-P8",
                 own_vm) {
  refused_for_version(0, 0);
}

MVM_PLUGIN_CHECK("a longer offer and a longer answer of a later host are read and written as far as they are known",
                 "negotiate", "MVM-P3", own_vm) {
  struct {
    mvm_offer head{sizeof(mvm_offer) + 64, MVM_ABI_MAJOR, MVM_ABI_MAJOR, MVM_ABI_MINOR};
    unsigned char later[64] = {};
  } offer;
  struct {
    mvm_answer head{};
    unsigned char later[64];
  } answer;
  answer.head.size = sizeof answer;
  std::memset(answer.later, 0x5a, sizeof answer.later);
  CollectingSink words;
  MVM_REQUIRE(library()->entry()(&offer.head, &answer.head, words.get()) == MVM_OK);
  for (const unsigned char byte : answer.later) MVM_REQUIRE(byte == 0x5a);
}

MVM_PLUGIN_CHECK("an answer of no size is not written to", "negotiate", "MVM-P3", own_vm) {
  union {
    mvm_answer answer;
    unsigned char bytes[sizeof(mvm_answer)];
  } table{};
  CollectingSink words;
  library()->entry()(&ours, &table.answer, words.get());
  for (size_t n = sizeof(size_t); n < sizeof table; ++n) {
    if (table.bytes[n] != 0)
      return note(Verdict::failed, "wrote at offset " + std::to_string(n) + " of an answer of size 0");
  }
}

// ---- create, by hand

mvm_hypervisor_api table_of(const mvm_hypervisor_api* api) {
  mvm_hypervisor_api table{};
  std::memcpy(&table, api, std::min(api->size, sizeof table));
  return table;
}

// A host that offers `size` bytes of its table; the functions behind that are not to be called.
mvm_host host_of_size(size_t size) {
  mvm_host host{};
  std::memset(static_cast<void*>(&host), 0x10, sizeof host);
  host.size = size;
  host.abi_major = MVM_ABI_MAJOR;
  host.abi_minor = 0;
  if (size >= offsetof(mvm_host, log)) host.log_enabled = [](const mvm_host*, int32_t) -> int32_t { return 1; };
  if (size >= offsetof(mvm_host, event)) host.log = [](const mvm_host*, const mvm_log_record*) {};
  return host;
}

void lives_with(const mvm_host& host) {
  const Negotiation n = negotiate(ours);
  MVM_REQUIRE(n.status == MVM_OK);
  v1::InstanceConfig config;
  const std::string bytes = config.SerializeAsString();
  mvm_hypervisor* hv = nullptr;
  const mvm_hypervisor_api* api = nullptr;
  CollectingSink words;
  const mvm_status status = n.answer.create(&host, {bytes.data(), bytes.size()}, &hv, &api, words.get());
  if (status != MVM_OK) {  // it may want more of its host than this one has
    MVM_EXPECT(words.text() != "");
    return;
  }
  MVM_REQUIRE(api != nullptr);
  MVM_REQUIRE(hv != nullptr);
  const mvm_hypervisor_api table = table_of(api);
  MVM_REQUIRE(table.destroy != nullptr);
  CollectingSink out;
  MVM_EXPECT(table.info(hv, out.get(), words.get()) == MVM_OK);
  table.destroy(hv);
}

MVM_PLUGIN_CHECK("a host whose table ends before its log is lived with", "negotiate", "MVM-P3", own_vm) {
  lives_with(host_of_size(offsetof(mvm_host, log_enabled)));
}

MVM_PLUGIN_CHECK("a host whose table ends before its events is lived with", "negotiate", "MVM-P3", own_vm) {
  lives_with(host_of_size(offsetof(mvm_host, event)));
}

MVM_PLUGIN_CHECK("a table has info, destroy, boot and stop, and a size that they fit in", "negotiate", "MVM-P2 MVM-P3",
                 own_vm) {
  const Negotiation n = negotiate(ours);
  MVM_REQUIRE(n.status == MVM_OK);
  mvm_host host{};
  host = host_of_size(offsetof(mvm_host, event));
  mvm_hypervisor* hv = nullptr;
  const mvm_hypervisor_api* api = nullptr;
  CollectingSink words;
  const std::string bytes = v1::InstanceConfig().SerializeAsString();
  MVM_REQUIRE(n.answer.create(&host, {bytes.data(), bytes.size()}, &hv, &api, words.get()) == MVM_OK);
  MVM_REQUIRE(api != nullptr);
  MVM_EXPECT(api->size >= offsetof(mvm_hypervisor_api, list));
  MVM_EXPECT(api->size <= size_t{1} << 16);
  const mvm_hypervisor_api table = table_of(api);
  MVM_EXPECT(table.info != nullptr);
  MVM_EXPECT(table.boot != nullptr);
  MVM_EXPECT(table.stop != nullptr);
  MVM_REQUIRE(table.destroy != nullptr);
  table.destroy(hv);
}

}  // namespace

void link_negotiate_checks() {}

}  // namespace mvm::host::check
