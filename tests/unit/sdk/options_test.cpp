// SPDX-License-Identifier: Apache-2.0
#include "mvm/options.hpp"

#include <stdexcept>
#include <string>
#include <vector>

#include "mvm/v1/hypervisor.pb.h"
#include "support/catch.hpp"

using namespace mvm;

namespace {

enum class Cache { on, off, automatic };

struct Settings {
  Cache cache = Cache::on;
  std::string path;
};

struct MoreSettings {
  bool nested = false;
};

constexpr Option<Settings> known[] = {
    {"cache", "on|off|auto: (on)",
     [](Settings& s, const OptionValue& v) {
       s.cache = v.one_of<Cache>({{"on", Cache::on}, {"off", Cache::off}, {"auto", Cache::automatic}});
     }},
    {"path", "PATH: a program",
     [](Settings& s, const OptionValue& v) {
       if (v.text.empty()) v.refuse("a path");
       s.path = v.text;
     }},
};

constexpr Option<MoreSettings> more[] = {
    {"nested", "yes|no: (no)",
     [](MoreSettings& s, const OptionValue& v) {
       s.nested = v.one_of<bool>({{"yes", true}, {"no", false}});
     }},
};

struct Refusal {
  mvm_status status = MVM_OK;
  std::string words;
  bool operator==(const Refusal&) const = default;
};

template <class Fn>
Refusal refusal(const Fn& fn) {
  try {
    fn();
  } catch (const Error& e) {
    return {e.status(), e.what()};
  }
  return {};
}

Refusal refusal_of(const std::string& key, const std::string& text) {
  return refusal([&] {
    Settings settings;
    if (!set_option(settings, known, key, text)) throw std::logic_error(key + ": is no option of the test's");
  });
}

}  // namespace

TEST_CASE("an option is set by its whole name, and no other is touched") {
  Settings settings;
  CHECK(set_option(settings, known, "cache", "auto"));
  CHECK(settings.cache == Cache::automatic);
  CHECK(settings.path.empty());
  for (const char* near : {"cach", "caches", "Cache", "", "cache "}) {
    INFO(near);
    CHECK_FALSE(set_option(settings, known, near, "off"));
  }
  CHECK(settings.cache == Cache::automatic);
}

TEST_CASE("a text that is none of the choices is refused with all of them, in their order") {
  CHECK(refusal_of("cache", "ON") == Refusal{MVM_ERR_INVALID, "option cache: \"ON\" is not on, off or auto"});
  CHECK(refusal_of("cache", "") == Refusal{MVM_ERR_INVALID, "option cache: \"\" is not on, off or auto"});
  CHECK(refusal_of("cache", "off").status == MVM_OK);
  MoreSettings settings;
  CHECK(refusal([&] { set_option(settings, more, "nested", "1"); }).words == "option nested: \"1\" is not yes or no");
  CHECK(refusal([] { OptionValue{"mode", "x"}.one_of<int>({{"raw", 1}}); }).words == "option mode: \"x\" is not raw");
}

TEST_CASE("a value that an author refuses is named by its key and by what was wanted") {
  CHECK(refusal_of("path", "") == Refusal{MVM_ERR_INVALID, "option path: \"\" is not a path"});
}

TEST_CASE("an unknown option is refused with the names of all tables, or with none") {
  const auto of = [](const Error& e) { return Refusal{e.status(), e.what()}; };
  CHECK(of(unknown_option("the mock", "speed", known)) ==
        Refusal{MVM_ERR_INVALID, "option speed: unknown; the mock knows cache, path"});
  CHECK(of(unknown_option("my-cpp", "speed", known, more)) ==
        Refusal{MVM_ERR_INVALID, "option speed: unknown; my-cpp knows cache, path, nested"});
  CHECK(of(unknown_option("my-cpp", "speed")) == Refusal{MVM_ERR_INVALID, "option speed: unknown; my-cpp knows none"});
}

TEST_CASE("info names each option of all tables, with its help") {
  const auto infos = describe_options<v1::OptionInfo>(known, more);
  REQUIRE(infos.size() == 3);
  CHECK(infos[0].key() == "cache");
  CHECK(infos[0].help() == "on|off|auto: (on)");
  CHECK(infos[2].key() == "nested");
}
