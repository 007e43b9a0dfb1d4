// SPDX-License-Identifier: Apache-2.0
#if defined(__linux__)
#include <array>
#include <cerrno>

#include <boost/asio/posix/stream_descriptor.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/file_watch.hpp"

namespace mvm::host {
namespace {

class InotifyWatch final : public FileWatch {
 public:
  InotifyWatch(boost::asio::io_context& loop, UniqueFd fd, std::function<void()> changed)
      : inotify_(loop, fd.release()), changed_(std::make_shared<std::function<void()>>(std::move(changed))) {
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
                          wait();
                          const auto changed = changed_;  // it may destroy this
                          (*changed)();
                        });
  }

  boost::asio::posix::stream_descriptor inotify_;
  std::shared_ptr<std::function<void()>> changed_;
};

// subject: what an error is about.
Result<std::unique_ptr<FileWatch>> watch_entries(boost::asio::io_context& loop, const std::filesystem::path& subject,
                                                 const std::filesystem::path& directory, uint32_t events,
                                                 std::function<void()> changed) {
  UniqueFd fd(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (!fd || ::inotify_add_watch(fd.get(), directory.c_str(), events | IN_ONLYDIR) < 0) {
    return fail(ErrorKind::failed, "{}: cannot be watched: {}", subject.string(), errno_words(errno));
  }
  return std::make_unique<InotifyWatch>(loop, std::move(fd), std::move(changed));
}

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::watch(boost::asio::io_context& loop, const std::filesystem::path& file,
                                                    std::function<void()> changed) {
  // The directory, since the file is replaced when it is rotated.
  return watch_entries(loop, file, file.parent_path(), IN_MODIFY | IN_CREATE | IN_MOVED_TO, std::move(changed));
}

Result<std::unique_ptr<FileWatch>> FileWatch::watch_directory(boost::asio::io_context& loop,
                                                              const std::filesystem::path& directory,
                                                              std::function<void()> changed) {
  return watch_entries(loop, directory, directory, IN_CREATE | IN_DELETE | IN_MOVE, std::move(changed));
}

}  // namespace mvm::host
#endif
