// SPDX-License-Identifier: Apache-2.0
#include "share_service.hpp"

#include <algorithm>
#include <charconv>

#include <unistd.h>

namespace mvm::mock {
namespace {

constexpr size_t max_line_bytes = 16 * 1024;

// Names hold any byte but the line's own: blanks, controls and '%' travel as %XX.
std::string encoded(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > ' ' && byte != 0x7f && byte != '%') {
      out += c;
    } else {
      out += {'%', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned byte = 0;
    if (text[i] != '%') {
      out += text[i];
    } else if (i + 2 < text.size() &&
               std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16).ptr == text.data() + i + 3) {
      out += static_cast<char>(byte);
      i += 2;
    } else {
      throw Error(MVM_ERR_INVALID, "bad %-encoding");
    }
  }
  return out;
}

// Cuts the next word off.
std::string_view word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view first = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return first;
}

}  // namespace

void ShareService::on_bytes(std::string_view bytes) {
  bytes.remove_prefix(take_upload(bytes));
  inbox_ += bytes;
  if (inbox_.size() > max_line_bytes && inbox_.find('\n') == std::string::npos) {
    fail("line too long");
    inbox_.clear();
    finish();
  }
}

// Commands that came in one piece are run one at a time, each when the answer before it is gone.
bool ShareService::producing() const {
  return file_ || (!upload_ && !inbox_.empty() && inbox_.find('\n') != std::string::npos);
}

void ShareService::produce() {
  if (file_) {
    send_file_piece();
  } else {
    take_line();
  }
}

void ShareService::take_line() {
  const size_t end = inbox_.find('\n');
  const std::string line = inbox_.substr(0, end);
  inbox_.erase(0, end + 1);
  try {
    run(line);
  } catch (const Error& e) {
    fail(e.what());
  }
  inbox_.erase(0, take_upload(inbox_));
}

void ShareService::run(std::string_view line) {
  const std::string_view verb = word(line);
  if (verb == "LIST") return list_shares();
  if (verb == "DIR") return list_dir(line);
  if (verb == "READ") return begin_read(line);
  if (verb == "WRITE") return begin_write(line);
  fail("LIST, DIR, READ or WRITE");
}

void ShareService::list_shares() {
  const auto all = shares_.in_force();
  std::string answer = "OK " + std::to_string(all.size()) + "\n";
  for (const auto& share : all) answer += encoded(share.tag()) + (share.read_only() ? " ro\n" : " rw\n");
  send(answer);
}

void ShareService::list_dir(std::string_view arguments) {
  const std::string tag = decoded(word(arguments));
  const auto entries = shares_.at(tag).list(decoded(word(arguments)));
  std::string answer = "OK " + std::to_string(entries.size()) + "\n";
  for (const auto& entry : entries) {
    answer += {entry.type, ' '};
    answer += std::to_string(entry.size) + " " + encoded(entry.name) + "\n";
  }
  send(answer);
}

void ShareService::begin_read(std::string_view arguments) {
  const std::string tag = decoded(word(arguments));
  file_ = shares_.at(tag).open_file(decoded(word(arguments)), file_left_);
  send("OK " + std::to_string(file_left_) + "\n");
}

void ShareService::send_file_piece() {
  if (file_left_ == 0) return file_.reset();
  auto& scratch = connections().scratch();
  const ssize_t n = ::read(file_.get(), scratch.data(), std::min<uint64_t>(scratch.size(), file_left_));
  if (n <= 0) return close();  // cut short under us: the only way to say so after the size was told
  file_left_ -= static_cast<uint64_t>(n);
  send({scratch.data(), static_cast<size_t>(n)});
}

void ShareService::begin_write(std::string_view arguments) {
  Upload upload;
  const std::string_view size = word(arguments);
  const auto [end, failed] = std::from_chars(size.data(), size.data() + size.size(), upload.size);
  if (failed != std::errc() || end != size.data() + size.size()) {
    fail("WRITE <size> <tag> <path>");
    inbox_.clear();  // how much follows is anybody's guess
    return finish();
  }
  upload.missing = upload.size;
  try {
    const std::string tag = decoded(word(arguments));
    upload.file.emplace(shares_.at(tag).create(decoded(word(arguments))));
  } catch (const Error& e) {
    upload.refusal = e.what();
  }
  upload_.emplace(std::move(upload));
}

// How many of the bytes belonged to it.
size_t ShareService::take_upload(std::string_view bytes) {
  if (!upload_) return 0;
  bytes = bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(bytes.size(), upload_->missing)));
  upload_->missing -= bytes.size();
  try {
    if (upload_->file) upload_->file->write(bytes);
    if (upload_->missing == 0) end_upload();
  } catch (const Error& e) {
    upload_->file.reset();
    upload_->refusal = e.what();
    if (upload_->missing == 0) end_upload();
  }
  return bytes.size();
}

void ShareService::end_upload() {
  if (upload_->file) upload_->file->commit();
  const Upload done = std::move(*upload_);
  upload_.reset();
  if (done.refusal.empty()) {
    send("OK " + std::to_string(done.size) + "\n");
  } else {
    fail(done.refusal);
  }
}

void ShareService::fail(std::string_view reason) {
  std::string answer = "ERR " + std::string(reason);
  std::replace(answer.begin(), answer.end(), '\n', ' ');
  send(answer + "\n");
}

}  // namespace mvm::mock
