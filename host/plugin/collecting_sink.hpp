// SPDX-License-Identifier: Apache-2.0
// A mvm_sink that keeps what a plugin writes, up to a bound.
#pragma once

#include <string>

#include "mvm/abi.h"

namespace mvm::host {

class CollectingSink {
 public:
  // A plugin that writes more than this is out of order; the sink then takes no more.
  static constexpr size_t max_bytes = 1024 * 1024;

  CollectingSink() : sink_{sizeof(mvm_sink), this, &CollectingSink::write} {}
  CollectingSink(const CollectingSink&) = delete;
  CollectingSink& operator=(const CollectingSink&) = delete;

  const mvm_sink* get() const noexcept { return &sink_; }
  const std::string& text() const noexcept { return text_; }

 private:
  static int32_t write(const mvm_sink* sink, const void* data, size_t size) noexcept {
    auto* self = static_cast<CollectingSink*>(sink->ctx);
    if (size > max_bytes - self->text_.size() || (data == nullptr && size != 0)) return -1;
    try {
      self->text_.append(static_cast<const char*>(data), size);
      return 0;
    } catch (...) {
      return -1;
    }
  }

  mvm_sink sink_;
  std::string text_;
};

}  // namespace mvm::host
