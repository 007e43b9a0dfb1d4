// SPDX-License-Identifier: Apache-2.0
// An NSError, or an NSException, as standard types.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mvm::apple_vz {

struct FrameworkError {
  std::string domain;  // "VZErrorDomain", "NSPOSIXErrorDomain", ..; an exception's name
  int64_t code = 0;
  std::string description;
  std::string reason;                      // may be empty
  std::vector<FrameworkError> underlying;  // what it came from; one, or none
};

// None: it went well.
using Problem = std::optional<FrameworkError>;

class FrameworkFailure : public std::exception {
 public:
  explicit FrameworkFailure(FrameworkError error) : error_(std::move(error)) {}
  const FrameworkError& error() const noexcept { return error_; }
  const char* what() const noexcept override { return error_.description.c_str(); }

 private:
  FrameworkError error_;
};

}  // namespace mvm::apple_vz
