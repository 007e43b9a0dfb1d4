// SPDX-License-Identifier: Apache-2.0
// Not a kqueue on the loop: Asio makes each descriptor that it waits for non-blocking, and a kqueue refuses that with
// ENOTTY (asio#1406).
#if defined(__APPLE__)
#include <atomic>
#include <cerrno>
#include <optional>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <dispatch/dispatch.h>
#include <fcntl.h>

#include "base/file.hpp"
#include "base/file_watch.hpp"

namespace mvm::host {
namespace {

// What the source's handlers, on a thread of Dispatch's, have in common with their owner, on the loop.
struct Told {
  Told(boost::asio::io_context& l, std::function<void()> c)
      : loop(l), work(l.get_executor()), changed(std::move(c)), cancelled(::dispatch_semaphore_create(0)) {}
  Told(const Told&) = delete;
  Told& operator=(const Told&) = delete;
  ~Told() { ::dispatch_release(cancelled); }

  boost::asio::io_context& loop;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::function<void()> changed;
  dispatch_semaphore_t cancelled;
  std::weak_ptr<Told> self;
  std::atomic<bool> posted{false};
};

void post_change(void* context) {
  Told& told = *static_cast<Told*>(context);
  if (told.posted.exchange(true)) return;
  boost::asio::post(told.loop, [weak = told.self] {
    const auto alive = weak.lock();  // to the end of the call, which may destroy the source
    if (!alive) return;
    alive->posted = false;
    alive->changed();
  });
}

void tell_cancelled(void* context) { ::dispatch_semaphore_signal(static_cast<Told*>(context)->cancelled); }

// Changes of one file, or of a directory's entries, as long as it lives.
class VnodeSource {
 public:
  VnodeSource(boost::asio::io_context& loop, UniqueFd file, std::function<void()> changed)
      : file_(std::move(file)),
        told_(std::make_shared<Told>(loop, std::move(changed))),
        source_(::dispatch_source_create(DISPATCH_SOURCE_TYPE_VNODE, static_cast<uintptr_t>(file_.get()),
                                         DISPATCH_VNODE_WRITE | DISPATCH_VNODE_EXTEND,
                                         ::dispatch_get_global_queue(QOS_CLASS_UTILITY, 0))) {
    told_->self = told_;
    if (source_ == nullptr) return;
    ::dispatch_set_context(source_, told_.get());
    ::dispatch_source_set_event_handler_f(source_, &post_change);
    ::dispatch_source_set_cancel_handler_f(source_, &tell_cancelled);
    ::dispatch_resume(source_);
  }
  VnodeSource(const VnodeSource&) = delete;
  VnodeSource& operator=(const VnodeSource&) = delete;
  ~VnodeSource() {
    if (source_ == nullptr) return;
    ::dispatch_source_cancel(source_);
    // The last of its handlers; only then the descriptor may be closed: dispatch_source_create(3).
    ::dispatch_semaphore_wait(told_->cancelled, DISPATCH_TIME_FOREVER);
    ::dispatch_release(source_);
  }

  bool works() const noexcept { return source_ != nullptr; }

 private:
  UniqueFd file_;
  std::shared_ptr<Told> told_;
  dispatch_source_t source_;
};

UniqueFd open_directory(const std::filesystem::path& path) { return open_file(path, O_EVTONLY | O_DIRECTORY); }

class DirectoryWatch final : public FileWatch {
 public:
  DirectoryWatch(boost::asio::io_context& loop, UniqueFd directory, std::function<void()> changed)
      : entries_(loop, std::move(directory), std::move(changed)) {}
  bool works() const noexcept { return entries_.works(); }

 private:
  VnodeSource entries_;
};

// Its bytes, and the directory, since the file is replaced when it is rotated.
class ReplacedFileWatch final : public FileWatch {
 public:
  ReplacedFileWatch(boost::asio::io_context& loop, UniqueFd directory, std::filesystem::path file,
                    std::function<void()> changed)
      : loop_(loop), file_(std::move(file)), changed_(std::move(changed)), entries_(loop, std::move(directory), [this] {
          follow();
          changed_();
        }) {
    follow();
  }
  bool works() const noexcept { return entries_.works(); }

 private:
  void follow() {
    bytes_.reset();
    if (UniqueFd file = open_file(file_, O_EVTONLY)) bytes_.emplace(loop_, std::move(file), changed_);
  }

  boost::asio::io_context& loop_;
  std::filesystem::path file_;
  std::function<void()> changed_;
  std::optional<VnodeSource> bytes_;
  VnodeSource entries_;
};

Error unwatchable(const std::filesystem::path& subject, int error) {
  return {ErrorKind::failed, formatted("{}: cannot be watched: {}", subject.string(), errno_words(error))};
}

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::watch(boost::asio::io_context& loop, const std::filesystem::path& file,
                                                    std::function<void()> changed) {
  UniqueFd directory = open_directory(file.parent_path());
  if (!directory) return tl::unexpected(unwatchable(file, errno));
  auto watch = std::make_unique<ReplacedFileWatch>(loop, std::move(directory), file, std::move(changed));
  if (!watch->works()) return tl::unexpected(unwatchable(file, EINVAL));
  return watch;
}

Result<std::unique_ptr<FileWatch>> FileWatch::watch_directory(boost::asio::io_context& loop,
                                                              const std::filesystem::path& directory,
                                                              std::function<void()> changed) {
  UniqueFd opened = open_directory(directory);
  if (!opened) return tl::unexpected(unwatchable(directory, errno));
  auto watch = std::make_unique<DirectoryWatch>(loop, std::move(opened), std::move(changed));
  if (!watch->works()) return tl::unexpected(unwatchable(directory, EINVAL));
  return watch;
}

}  // namespace mvm::host
#endif
