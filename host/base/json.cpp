// SPDX-License-Identifier: Apache-2.0
#include "base/json.hpp"

#include <algorithm>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>

namespace mvm::host {
namespace {

namespace gpb = google::protobuf;

class Printer {
 public:
  Printer(std::string& out, int indent, Unset unset) : out_(out), indent_(indent), unset_(unset) {}

  void message(const gpb::Message& m) {
    const gpb::Reflection& reflection = *m.GetReflection();
    open('{');
    const gpb::Descriptor& type = *m.GetDescriptor();
    for (int i = 0; i < type.field_count(); ++i) {
      const gpb::FieldDescriptor& field = *type.field(i);
      if (!printed(m, reflection, field)) continue;
      next();
      string(field.name());
      out_ += indent_ > 0 ? ": " : ":";
      value(m, reflection, field);
    }
    close('}');
  }

 private:
  bool printed(const gpb::Message& m, const gpb::Reflection& reflection, const gpb::FieldDescriptor& field) const {
    if (field.is_repeated()) return unset_ == Unset::print || reflection.FieldSize(m, &field) > 0;
    const bool optional =
        field.cpp_type() == gpb::FieldDescriptor::CPPTYPE_MESSAGE || field.containing_oneof() != nullptr;
    return (unset_ == Unset::print && !optional) || reflection.HasField(m, &field);
  }

  void value(const gpb::Message& m, const gpb::Reflection& reflection, const gpb::FieldDescriptor& field) {
    if (field.is_map()) return map(m, reflection, field);
    if (!field.is_repeated()) return scalar(m, reflection, field, -1);
    open('[');
    for (int i = 0; i < reflection.FieldSize(m, &field); ++i) {
      next();
      scalar(m, reflection, field, i);
    }
    close(']');
  }

  // Maps have string keys here; sorted, so that the same message prints the same.
  void map(const gpb::Message& m, const gpb::Reflection& reflection, const gpb::FieldDescriptor& field) {
    std::vector<const gpb::Message*> entries;
    entries.reserve(static_cast<size_t>(reflection.FieldSize(m, &field)));
    for (int i = 0; i < reflection.FieldSize(m, &field); ++i) {
      entries.push_back(&reflection.GetRepeatedMessage(m, &field, i));
    }
    const gpb::FieldDescriptor* key = field.message_type()->map_key();
    const gpb::FieldDescriptor* val = field.message_type()->map_value();
    const auto name = [&](const gpb::Message* entry) { return entry->GetReflection()->GetString(*entry, key); };
    std::sort(entries.begin(), entries.end(), [&](const auto* a, const auto* b) { return name(a) < name(b); });
    open('{');
    for (const gpb::Message* entry : entries) {
      next();
      string(name(entry));
      out_ += indent_ > 0 ? ": " : ":";
      scalar(*entry, *entry->GetReflection(), *val, -1);
    }
    close('}');
  }

  // The field's value, or element `i` of it.
  void scalar(const gpb::Message& m, const gpb::Reflection& r, const gpb::FieldDescriptor& f, int i) {
    const bool rep = i >= 0;
    using Field = gpb::FieldDescriptor;
    switch (f.cpp_type()) {
      case Field::CPPTYPE_INT32:
        return number(rep ? r.GetRepeatedInt32(m, &f, i) : r.GetInt32(m, &f));
      case Field::CPPTYPE_INT64:
        return number(rep ? r.GetRepeatedInt64(m, &f, i) : r.GetInt64(m, &f));
      case Field::CPPTYPE_UINT32:
        return number(rep ? r.GetRepeatedUInt32(m, &f, i) : r.GetUInt32(m, &f));
      case Field::CPPTYPE_UINT64:
        return number(rep ? r.GetRepeatedUInt64(m, &f, i) : r.GetUInt64(m, &f));
      case Field::CPPTYPE_DOUBLE:
        return number(rep ? r.GetRepeatedDouble(m, &f, i) : r.GetDouble(m, &f));
      case Field::CPPTYPE_FLOAT:
        return number(rep ? r.GetRepeatedFloat(m, &f, i) : r.GetFloat(m, &f));
      case Field::CPPTYPE_BOOL:
        out_ += (rep ? r.GetRepeatedBool(m, &f, i) : r.GetBool(m, &f)) ? "true" : "false";
        return;
      case Field::CPPTYPE_ENUM:
        return string(std::string((rep ? r.GetRepeatedEnum(m, &f, i) : r.GetEnum(m, &f))->name()));
      case Field::CPPTYPE_STRING:
        return string(rep ? r.GetRepeatedStringReference(m, &f, i, &scratch_) : r.GetStringReference(m, &f, &scratch_));
      case Field::CPPTYPE_MESSAGE:
        return message(rep ? r.GetRepeatedMessage(m, &f, i) : r.GetMessage(m, &f));
    }
  }

  template <class Number>
  void number(Number n) {
    out_ += formatted("{}", n);
  }

  void string(std::string_view text) {
    out_ += '"';
    for (;;) {
      const auto special = std::find_if(text.begin(), text.end(), is_special);
      const auto plain = static_cast<size_t>(special - text.begin());
      out_.append(text.substr(0, plain));
      if (special == text.end()) break;
      if (*special == '"' || *special == '\\') {
        out_ += '\\';
        out_ += *special;
      } else {
        out_ += formatted("\\u{:04x}", static_cast<unsigned>(*special));
      }
      text.remove_prefix(plain + 1);
    }
    out_ += '"';
  }

  static bool is_special(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

  void open(char bracket) {
    out_ += bracket;
    ++depth_;
    first_ = true;
  }
  void next() {
    if (!first_) out_ += ',';
    first_ = false;
    new_line();
  }
  void close(char bracket) {
    --depth_;
    if (!first_) new_line();
    out_ += bracket;
    first_ = false;
  }
  void new_line() {
    if (indent_ == 0) return;
    out_ += '\n';
    out_.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth_), ' ');
  }

  std::string& out_;
  int indent_;
  Unset unset_;
  int depth_ = 0;
  bool first_ = true;
  std::string scratch_;
};

}  // namespace

void append_json(std::string& out, const gpb::Message& message, int indent, Unset unset) {
  Printer(out, indent, unset).message(message);
}

std::string to_json(const gpb::Message& message, int indent, Unset unset) {
  std::string out;
  append_json(out, message, indent, unset);
  return out;
}

Result<void> from_json(std::string_view text, gpb::Message& message) {
  gpb::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto status = gpb::util::JsonStringToMessage(std::string(text), &message, options);
  if (status.ok()) return {};
  std::string words = status.ToString();
  std::replace(words.begin(), words.end(), '\n', ' ');
  return fail(ErrorKind::failed, "{}", words);
}

}  // namespace mvm::host
