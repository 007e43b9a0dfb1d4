// SPDX-License-Identifier: Apache-2.0
// The few socket calls whose spelling differs between systems, or that Boost.Asio makes without close-on-exec.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>

#include <sys/socket.h>
#include <sys/types.h>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include "base/result.hpp"
#include "mvm/hypervisor.hpp"

namespace mvm::host {

// A descriptor that the event loop watches, and a timer. Their executor is spelled out: the type-erased one costs
// memory per handler.
using LoopFd = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;
using LoopTimer =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                      boost::asio::io_context::executor_type>;

// Close-on-exec, non-blocking, without SIGPIPE where a socket can be told so. Empty: errno says why.
UniqueFd open_stream_socket(int family);

// The next client of a listening socket, like open_stream_socket.
UniqueFd accept_client(int listening);

// A socket that came from elsewhere, made fit for send_some and recv.
void prepare_socket(int fd);

// send without SIGPIPE.
ssize_t send_some(int fd, const void* data, size_t size);

// Whether the socket's addresses are of IPv4 or IPv6.
bool is_tcp(int fd);

// TCP: without delay. Any other socket is left as it is.
void set_no_delay(int fd);

// TCP: the peer will see a reset, not an end, when fd is closed.
void reset_on_close(int fd);

inline bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace mvm::host
