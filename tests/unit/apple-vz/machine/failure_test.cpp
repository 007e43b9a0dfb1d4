// SPDX-License-Identifier: Apache-2.0
#include "machine/failure.hpp"

#include <cerrno>

#include "support/catch.hpp"

using namespace mvm;
using namespace mvm::apple_vz;

namespace {

FrameworkError vz(int64_t code, const std::string& description, const std::string& reason = "") {
  return {"VZErrorDomain", code, description, reason, {}};
}

FrameworkError posix(int number) { return {"NSPOSIXErrorDomain", number, "as errno has it", "", {}}; }

}  // namespace

TEST_CASE("an error carries its domain, code, symbol, description, reason and what it came from") {
  FrameworkError error = vz(7, "The network failed.", "No interface.");
  error.underlying.push_back(posix(EIO));
  CHECK(words_of(error) ==
        "VZErrorDomain 7 (VZErrorNetworkError): The network failed. No interface. [NSPOSIXErrorDomain 5: as errno has "
        "it]");
  CHECK_THAT(explain("vm demo: could not be started", error).what(),
             test::StartsWith("vm demo: could not be started: VZErrorDomain 7"));
}

TEST_CASE("a missing entitlement is denied, with what mends it") {
  const Error error =
      explain("vm demo", vz(2, "Invalid virtual machine configuration.",
                            "The process doesn't have the \"com.apple.security.virtualization\" entitlement."));
  CHECK(error.status() == MVM_ERR_DENIED);
  CHECK_THAT(error.what(), test::ContainsSubstring("`mvmhost doctor` says the command"));
}

TEST_CASE("a disk that another machine has locked is busy, whichever way the framework says it") {
  FrameworkError locked = vz(2, "Invalid virtual machine configuration.");
  locked.underlying.push_back(posix(EAGAIN));
  CHECK(explain("vm demo", locked).status() == MVM_ERR_BUSY);
  const Error other = explain("vm demo", vz(2, "Invalid.", "The storage device attachment is invalid."));
  CHECK(other.status() == MVM_ERR_BUSY);
  CHECK_THAT(other.what(), test::ContainsSubstring("a disk image is in use"));
}

TEST_CASE("an internal error that says no more gets what most often is behind it") {
  CHECK_THAT(words_of(vz(1, "Internal Virtualization error.")), test::ContainsSubstring("not an uncompressed Image"));
  CHECK_THAT(words_of(vz(1, "Internal Virtualization error.", "It is full.")), !test::ContainsSubstring("Image"));
}

TEST_CASE("an error's code becomes the status that a caller can act on") {
  CHECK(explain("x", vz(2, "")).status() == MVM_ERR_INVALID);
  CHECK(explain("x", vz(6, "")).status() == MVM_ERR_BUSY);
  CHECK(explain("x", vz(10, "")).status() == MVM_ERR_UNSUPPORTED);
  CHECK(explain("x", vz(4711, "")).status() == MVM_ERR_INTERNAL);
  CHECK(explain("x", {"NSInvalidArgumentException", 0, "raised", "", {}}).status() == MVM_ERR_INTERNAL);
}

TEST_CASE("only a connection that the guest resets or refuses means that nobody listens") {
  CHECK(nobody_listens(posix(ECONNRESET)));
  CHECK(nobody_listens(posix(ECONNREFUSED)));
  CHECK_FALSE(nobody_listens(posix(EMFILE)));
  CHECK_FALSE(nobody_listens(vz(3, "The virtual machine is not running.")));
}
