// SPDX-License-Identifier: Apache-2.0
#if defined(__APPLE__)
#include <cerrno>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <sys/event.h>
#include <unistd.h>

#include "base/file.hpp"
#include "cli/file_watch.hpp"

namespace mvm::host {
namespace {

// A kqueue is itself a descriptor that becomes readable when it has events.
class KqueueWatch final : public FileWatch {
 public:
  KqueueWatch(boost::asio::io_context& loop, UniqueFd queue, std::filesystem::path file, std::function<void()> changed)
      : queue_(loop, queue.release()), file_(std::move(file)), changed_(std::move(changed)) {
    follow();
    wait();
  }

 private:
  void follow() {
    watched_ = open_file(file_, O_EVTONLY);
    struct kevent change {};
    EV_SET(&change, watched_.get(), EVFILT_VNODE, EV_ADD | EV_CLEAR,
           NOTE_WRITE | NOTE_EXTEND | NOTE_RENAME | NOTE_DELETE, 0, nullptr);
    ::kevent(queue_.native_handle(), &change, 1, nullptr, 0, nullptr);
  }
  void wait() {
    queue_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
      if (error) return;
      struct kevent event {};
      const timespec at_once{0, 0};
      while (::kevent(queue_.native_handle(), nullptr, 0, &event, 1, &at_once) > 0) {
        if ((event.fflags & (NOTE_RENAME | NOTE_DELETE)) != 0) follow();
      }
      changed_();
      wait();
    });
  }

  boost::asio::posix::stream_descriptor queue_;
  std::filesystem::path file_;
  std::function<void()> changed_;
  UniqueFd watched_;
};

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::watch(boost::asio::io_context& loop, const std::filesystem::path& file,
                                                    std::function<void()> changed) {
  UniqueFd queue(::kqueue());
  if (!queue) return fail(ErrorKind::failed, "{}: cannot be watched: {}", file.string(), errno_words(errno));
  return std::make_unique<KqueueWatch>(loop, std::move(queue), file, std::move(changed));
}

}  // namespace mvm::host
#endif
