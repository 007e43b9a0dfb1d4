// SPDX-License-Identifier: Apache-2.0
// mvm/wire.h and mvm/negotiate.h, which authors in C stand on, against Protobuf.
#include "mvm/wire.h"

#include <random>
#include <string>

#include "mvm/negotiate.h"
#include "support/catch.hpp"

#include "mvm/v1/hypervisor.pb.h"

using namespace mvm::test;
namespace v1 = mvm::v1;

namespace {

mvm_bytes bytes_of(const std::string& text) { return {text.data(), text.size()}; }
std::string text_of(const mvm_field& field) {
  return field.bytes.size == 0 ? "" : std::string(static_cast<const char*>(field.bytes.data), field.bytes.size);
}

mvm_status no_instance(const mvm_host*, mvm_bytes, mvm_hypervisor**, const mvm_hypervisor_api**, const mvm_sink*) {
  return MVM_ERR_INTERNAL;
}

struct Words {
  std::string text;
  mvm_sink sink{sizeof(mvm_sink), this, [](const mvm_sink* s, const void* data, size_t size) -> int32_t {
                  static_cast<Words*>(s->ctx)->text.append(static_cast<const char*>(data), size);
                  return 0;
                }};
};

}  // namespace

TEST_CASE("what Protobuf writes is read field by field", "[plugins]") {
  v1::VmSpec spec;
  spec.set_name("demo");
  spec.set_kernel(std::string(300, 'k'));
  spec.set_memory_bytes(uint64_t{1} << 40);
  spec.add_required_features("one");
  spec.add_required_features("two");
  const std::string bytes = spec.SerializeAsString();
  mvm_field field;
  REQUIRE(mvm_find_field(bytes_of(bytes), 1, &field) == 1);
  CHECK(text_of(field) == "demo");
  REQUIRE(mvm_find_field(bytes_of(bytes), 2, &field) == 1);
  CHECK(text_of(field) == spec.kernel());
  REQUIRE(mvm_find_field(bytes_of(bytes), 7, &field) == 1);
  CHECK(field.value == spec.memory_bytes());
  REQUIRE(mvm_find_field(bytes_of(bytes), 11, &field) == 1);
  CHECK(text_of(field) == "two");
  CHECK(mvm_find_field(bytes_of(bytes), 3, &field) == 0);
}

TEST_CASE("what is written field by field is read by Protobuf, and what does not fit is not written", "[plugins]") {
  unsigned char buffer[64];
  mvm_writer w = {buffer, sizeof buffer, 0, 0};
  mvm_write_bytes(&w, 1, bytes_of("demo"));
  mvm_write_number(&w, 2, v1::VM_STATE_RUNNING);
  mvm_write_number(&w, 5, uint64_t{1} << 40);
  v1::VmInfo info;
  REQUIRE(info.ParseFromArray(buffer, static_cast<int>(w.size)));
  CHECK(info.name() == "demo");
  CHECK(info.state() == v1::VM_STATE_RUNNING);
  CHECK(info.hypervisor_pid() == int64_t{1} << 40);
  const size_t before = w.size;
  mvm_write_raw(&w, std::string(100, 'x').data(), 100);
  CHECK(w.full != 0);
  CHECK(w.size == before);
}

TEST_CASE("bytes that are no message are never read beyond their end", "[plugins]") {
  mvm_field field;
  CHECK(mvm_find_field(bytes_of("\xff\xff\xff\xff\xff garbage"), 1, &field) == -1);
  CHECK(mvm_find_field(bytes_of("\x0a\x05xxx"), 1, &field) == -1);
  CHECK(mvm_find_field(bytes_of(std::string("\0", 1)), 1, &field) == -1);
  CHECK(mvm_find_field(mvm_bytes{nullptr, 0}, 1, &field) == 0);
  std::mt19937 engine(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes(engine() % 40, '\0');
    for (char& c : bytes) c = static_cast<char>(engine());
    // A copy of its own size, for the sanitizer.
    const std::string exact(bytes);
    mvm_bytes rest = bytes_of(exact);
    while (mvm_read_field(&rest, &field) > 0) {
      CHECK(field.bytes.size <= exact.size());
    }
  }
}

TEST_CASE("the entry point for authors in C takes part in versions as that for C++ does", "[plugins][MVM-P2][MVM-P3]") {
  Words words;
  mvm_answer answer{};
  answer.size = sizeof answer;
  const auto negotiated = [&](const mvm_offer& offer) {
    return mvm_negotiate(&offer, &answer, &words.sink, "a-name", "1.2.3", "somebody", &no_instance);
  };
  CHECK(negotiated({sizeof(mvm_offer), 1, 9, 7}) == MVM_OK);
  CHECK(answer.major == MVM_ABI_MAJOR);
  CHECK(std::string(answer.name) == "a-name");
  CHECK(words.text.empty());
  CHECK(negotiated({sizeof(mvm_offer), 2, 9, 0}) == MVM_ERR_ABI);
  CHECK_THAT(words.text, ContainsSubstring("(MVM-P2)"));
  answer.size = 8;
  CHECK(negotiated({sizeof(mvm_offer), 1, 1, 0}) == MVM_ERR_ABI);
  CHECK(mvm_negotiate(nullptr, &answer, nullptr, "a-name", "1", "x", &no_instance) == MVM_ERR_ABI);
}
