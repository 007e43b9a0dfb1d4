// SPDX-License-Identifier: Apache-2.0
#include "plugin/plugin_library.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <regex>
#include <string_view>

#include <boost/dll/shared_library.hpp>

#include <dlfcn.h>
#include <sys/stat.h>

#include "plugin/collecting_sink.hpp"
#include "plugin/library_format.hpp"
#include "plugin/plugin_finder.hpp"

namespace mvm::host {
namespace {

namespace dll = boost::dll;

// The oldest ABI major that this host still speaks; the newest is MVM_ABI_MAJOR.
constexpr uint32_t oldest_major = 1;

// Boost.DLL has no name for RTLD_NODELETE, but passes bits through that it doesn't know.
constexpr auto load_mode =
    static_cast<dll::load_mode::type>(static_cast<unsigned>(dll::load_mode::rtld_now) |
                                      static_cast<unsigned>(dll::load_mode::rtld_local) | RTLD_NODELETE);

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// Loaded libraries stay for the process's life: this is never destroyed.
struct Loaded {
  std::mutex mutex;  // loading is not thread-safe on macOS (Boost.DLL, limitations)
  std::filesystem::path path;
  dll::shared_library* library = nullptr;
};
Loaded& loaded() {
  static auto* the_one = new Loaded;
  return *the_one;
}

Result<dll::shared_library*> open_library(const std::filesystem::path& path) {
  Loaded& state = loaded();
  const std::lock_guard lock(state.mutex);
  if (state.library != nullptr) {
    if (state.path == path) return state.library;
    return fail(ErrorKind::failed, "{}: this process already has the plugin {}, and takes one only (MVM-H7)",
                path.string(), state.path.string());
  }
  try {
    // The throwing overload: it alone carries the loader's own words.
    state.library = new dll::shared_library(path, load_mode);
    state.path = path;
    return state.library;
  } catch (const std::exception& e) {
    return fail(ErrorKind::failed, "{}: cannot be loaded: {}", path.string(), one_line(e.what()));
  }
}

bool same_file(const char* a, const std::filesystem::path& b) {
  struct stat sa {};
  struct stat sb {};
  return a != nullptr && ::stat(a, &sa) == 0 && ::stat(b.c_str(), &sb) == 0 && sa.st_dev == sb.st_dev &&
         sa.st_ino == sb.st_ino;
}

// dlsym also searches what the library depends on: the symbol counts only if it lives in the file itself.
Result<mvm_plugin_negotiate_fn> find_entry(dll::shared_library& library, const std::filesystem::path& path) {
  void* const symbol = ::dlsym(library.native(), MVM_ENTRY_SYMBOL);
  Dl_info where{};
  if (symbol == nullptr || ::dladdr(symbol, &where) == 0 || !same_file(where.dli_fname, path)) {
    return fail(ErrorKind::failed, "{}: is not a mvm plugin: exports no {} (MVM-P1)", path.string(), MVM_ENTRY_SYMBOL);
  }
  return reinterpret_cast<mvm_plugin_negotiate_fn>(symbol);
}

template <size_t N>
Result<std::string> text_field(const std::filesystem::path& path, const char* what, const char (&field)[N]) {
  const char* const end = static_cast<const char*>(std::memchr(field, '\0', N));
  if (end == nullptr) {
    return fail(ErrorKind::failed, "{}: its {} is not terminated (MVM-P2)", path.string(), what);
  }
  return std::string(field, end);
}

Result<void> check_answer(const std::filesystem::path& path, const mvm_answer& answer) {
  if (answer.major < oldest_major || answer.major > MVM_ABI_MAJOR) {
    return fail(ErrorKind::failed, "{}: speaks ABI {}, this host {}-{} (MVM-P2)", path.string(), answer.major,
                oldest_major, MVM_ABI_MAJOR);
  }
  if (answer.create == nullptr) {
    return fail(ErrorKind::failed, "{}: its answer has no create function (MVM-P2)", path.string());
  }
  return {};
}

}  // namespace

bool is_plugin_name(const std::string& name) {
  static const std::regex pattern("[a-z0-9][a-z0-9-]{0,31}");
  return std::regex_match(name, pattern);
}

Result<std::shared_ptr<const PluginLibrary>> PluginLibrary::load(const std::filesystem::path& path,
                                                                 const std::string& expected_name) {
  MVM_CHECK(check_library_format(path));
  MVM_TRY(dll::shared_library * library, open_library(path));
  MVM_TRY(const auto negotiate, find_entry(*library, path));

  const mvm_offer offer{sizeof(mvm_offer), oldest_major, MVM_ABI_MAJOR, MVM_ABI_MINOR};
  std::shared_ptr<PluginLibrary> plugin(new PluginLibrary);
  plugin->entry_ = negotiate;
  plugin->answer_.size = sizeof(mvm_answer);
  CollectingSink words;
  const mvm_status status = negotiate(&offer, &plugin->answer_, words.get());
  if (status != MVM_OK) {
    return fail(ErrorKind::failed, "{}: {}", path.string(),
                words.text().empty() ? std::string("refused to negotiate and gave no reason (MVM-P8)") : words.text());
  }
  MVM_CHECK(check_answer(path, plugin->answer_));

  PluginIdentity& id = plugin->identity_;
  id.path = path;
  id.abi_major = plugin->answer_.major;
  id.abi_minor = plugin->answer_.minor;
  MVM_TRY(id.name, text_field(path, "name", plugin->answer_.name));
  MVM_TRY(id.version, text_field(path, "version", plugin->answer_.version));
  MVM_TRY(id.vendor, text_field(path, "vendor", plugin->answer_.vendor));
  if (!is_plugin_name(id.name)) {
    return fail(ErrorKind::failed, "{}: its name \"{}\" is not of the form [a-z0-9][a-z0-9-]{{0,31}} (MVM-P14)",
                path.string(), one_line(id.name));
  }
  const std::string& asked = expected_name.empty() ? plugin_name_of(path) : expected_name;
  if (!asked.empty() && id.name != asked) {
    return fail(ErrorKind::failed, "{}: calls itself \"{}\", not \"{}\" (MVM-P14)", path.string(), id.name, asked);
  }
  return std::shared_ptr<const PluginLibrary>(std::move(plugin));
}

}  // namespace mvm::host
