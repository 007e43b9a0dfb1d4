// SPDX-License-Identifier: Apache-2.0
#import <Foundation/Foundation.h>

#include "objc.hpp"

namespace mvm::apple_vz {

NSString *ns_string(const std::string &text) {
  NSString *string = [[NSString alloc] initWithBytes:text.data() length:text.size() encoding:NSUTF8StringEncoding];
  if (string == nil) throw FrameworkFailure({"mvm", 0, "\"" + text + "\" is not UTF-8", "", {}});
  return string;
}

NSURL *file_url(const std::string &path) { return [NSURL fileURLWithPath:ns_string(path)]; }

std::string std_string(NSString *text) {
  const char *bytes = [text UTF8String];
  return bytes == nullptr ? std::string() : std::string(bytes);
}

FrameworkError framework_error(NSError *error) {
  FrameworkError result{std_string([error domain]),
                        [error code],
                        std_string([error localizedDescription]),
                        std_string([error userInfo][NSLocalizedFailureReasonErrorKey]),
                        {}};
  NSError *underlying = [error userInfo][NSUnderlyingErrorKey];
  if (underlying != nil) result.underlying.push_back(framework_error(underlying));
  return result;
}

FrameworkError framework_error(NSException *exception) {
  return {std_string([exception name]), 0, std_string([exception reason]), "", {}};
}

FrameworkError framework_error(const std::exception &exception) { return {"mvm", 0, exception.what(), "", {}}; }

FrameworkError framework_error(NSError *error, const char *if_none) {
  return error == nil ? FrameworkError{"mvm", 0, if_none, "", {}} : framework_error(error);
}

}  // namespace mvm::apple_vz
