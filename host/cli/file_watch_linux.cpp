// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include <array>
#include <cerrno>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.hpp"
#include "cli/file_watch.hpp"

namespace mvm::host {
namespace {

class InotifyWatch final : public FileWatch {
 public:
  InotifyWatch(boost::asio::io_context& loop, UniqueFd fd, std::function<void()> changed)
      : inotify_(loop, fd.release()), changed_(std::move(changed)) {
    wait();
  }

 private:
  void wait() {
    inotify_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                        [this](const boost::system::error_code& error) {
                          if (error) return;
                          std::array<char, 4096> events;
                          while (::read(inotify_.native_handle(), events.data(), events.size()) > 0) {
                          }
                          changed_();
                          wait();
                        });
  }

  boost::asio::posix::stream_descriptor inotify_;
  std::function<void()> changed_;
};

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::watch(boost::asio::io_context& loop, const std::filesystem::path& file,
                                                    std::function<void()> changed) {
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  // The directory, since the file is replaced when it is rotated.
  if (!fd || ::inotify_add_watch(fd.get(), file.parent_path().c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0) {
    return fail(ErrorKind::failed, "{}: cannot be watched: {}", file.string(), errno_words(errno));
  }
  return std::make_unique<InotifyWatch>(loop, std::move(fd), std::move(changed));
}

}  // namespace mvm::host
#endif
