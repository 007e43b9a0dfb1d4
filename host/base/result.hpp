// SPDX-License-Identifier: Apache-2.0
// How functions of the host fail: a kind, which becomes the exit code, and a message for the user.
#pragma once

#include <string>
#include <utility>

#include <tl/expected.hpp>
#include "base/format.hpp"

namespace mvm::host {

// Values are the process's exit codes (docs/exit-codes in README.md; fixed).
enum class ErrorKind : int {
  failed = 1,       // it was tried and did not work
  invalid = 2,      // bad usage or input
  not_found = 3,    // no such VM or hypervisor
  deadline = 4,     // did not happen in time
  unsupported = 5,  // this hypervisor, or this system, cannot
};

// message: subject first, then what was found, then what to do; the rule's id at the end where there is one.
struct Error {
  ErrorKind kind = ErrorKind::failed;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Error>(Error{kind, formatted(text, std::forward<Args>(args)...)});
}

}  // namespace mvm::host

#define MVM_CONCAT_(a, b) a##b
#define MVM_CONCAT(a, b) MVM_CONCAT_(a, b)
// MVM_TRY(auto x, expression): x is the expression's value, or the function returns its error.
#define MVM_TRY(declaration, ...) MVM_TRY_(MVM_CONCAT(mvm_try_, __LINE__), declaration, __VA_ARGS__)
#define MVM_TRY_(name, declaration, ...)                                           \
  auto name = (__VA_ARGS__);                                                       \
  if (!name) return ::tl::unexpected<::mvm::host::Error>(std::move(name).error()); \
  declaration = std::move(*name)
// MVM_CHECK(expression): the function returns the expression's error, if it has one.
#define MVM_CHECK(...)                                                            \
  do {                                                                            \
    if (auto mvm_check_ = (__VA_ARGS__); !mvm_check_)                             \
      return ::tl::unexpected<::mvm::host::Error>(std::move(mvm_check_).error()); \
  } while (false)
