// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"

#include <vector>

#include "mvm/host/record.pb.h"
#include "mvm/host/view.pb.h"
#include "support/catch.hpp"

using namespace mvm::host;

TEST_CASE("JSON has the .proto's names, every scalar, and 64-bit integers as numbers") {
  pb::VmSummary summary;
  summary.set_name("demo");
  summary.set_memory_bytes(1ull << 40);
  CHECK(to_json(summary, 0) ==
        R"({"name":"demo","hypervisor":"","state":"","pid":0,"cpus":0,"memory_bytes":1099511627776,)"
        R"("started_at":"","last_error":"","exit_reason":"","base":""})");
}

TEST_CASE("JSON strings keep quotes, backslashes, control characters and UTF-8") {
  pb::VmSummary summary;
  summary.set_name("\"\\\n\t\x01\x7f\xc3\xa4");
  const std::string json = to_json(summary, 0);
  CHECK(json.find(R"("name":"\"\\\u000a\u0009\u0001\u007fä")") != std::string::npos);
  pb::VmSummary back;
  REQUIRE(from_json(json, back));
  CHECK(back.name() == summary.name());
}

TEST_CASE("an empty list is an empty array, and lists and maps are read back") {
  CHECK(to_json_array(std::vector<pb::VmSummary>()) == "[]");
  pb::VmConfig config;
  config.add_disks()->set_path("/a");
  config.add_disks()->set_path("/b");
  (*config.mutable_options())["b"] = "2";
  (*config.mutable_options())["a"] = "1";
  pb::VmConfig back;
  REQUIRE(from_json(to_json(config), back));
  CHECK(back.disks_size() == 2);
  CHECK(back.options().at("a") == "1");
}

TEST_CASE("text that is no JSON, or of another type, is refused with words on one line") {
  pb::VmConfig config;
  for (const char* text : {"", "{", "[]", "{\"cpus\":\"many\"}", "{\"cpus\":-1}", "null}"}) {
    CAPTURE(text);
    const auto parsed = from_json(text, config);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().message.find('\n') == std::string::npos);
  }
}

TEST_CASE("what is not set can be left out") {
  pb::VmConfig config;
  config.set_cpus(3);
  CHECK(to_json(config, 0, Unset::omit) == R"({"cpus":3})");
  CHECK(to_json(pb::VmConfig(), 0, Unset::omit) == "{}");
}
