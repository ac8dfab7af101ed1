#include "transport/socket_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {
namespace {

// The kernel's timeout overshoots, so the last part of a wait is polled.
constexpr std::chrono::milliseconds kReceiveTimeout{20};

bool make_blocking(int descriptor) noexcept {
  const timeval timeout{0, std::chrono::microseconds{kReceiveTimeout}.count()};
  return ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
         ::fcntl(descriptor, F_SETFL, 0) == 0;
}

ByteStream::Result result_of(ssize_t count) noexcept {
  if (count >= 0) return {ByteStream::Status::kOk, static_cast<std::size_t>(count)};
  if (errno == EAGAIN || errno == EWOULDBLOCK) return {ByteStream::Status::kAgain};
  return {ByteStream::Status::kFailed, 0, errno};
}

}  // namespace

SocketStream::SocketStream(std::unique_ptr<OpenSocket> socket) noexcept
    : socket_(std::move(socket)), may_block_(make_blocking(socket_->descriptor())) {}

ByteStream::Result SocketStream::receive(std::span<char> room, bool may_wait) noexcept {
  const int flags = may_wait && may_block_ ? 0 : MSG_DONTWAIT;
  ssize_t count = 0;
  do {
    count = ::recv(socket_->descriptor(), room.data(), room.size(), flags);
  } while (count < 0 && errno == EINTR);
  if (count == 0) return {Status::kClosed};
  return result_of(count);
}

ByteStream::Result SocketStream::send(std::string_view bytes) noexcept {
  ssize_t count = 0;
  do {
    count = ::send(socket_->descriptor(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (count < 0 && errno == EINTR);
  return result_of(count);
}

std::chrono::milliseconds SocketStream::longest_wait() const noexcept {
  return may_block_ ? kReceiveTimeout : std::chrono::milliseconds{0};
}

bool SocketStream::wait(Time deadline, bool for_write) const noexcept {
  return wait_for_socket(socket_->descriptor(), deadline, true, for_write);
}

void SocketStream::shut_down() noexcept { ::shutdown(socket_->descriptor(), SHUT_RDWR); }

bool wait_for_socket(int descriptor, ByteStream::Time deadline, bool for_read, bool for_write) noexcept {
  pollfd entry{descriptor, static_cast<short>((for_read ? POLLIN : 0) | (for_write ? POLLOUT : 0)), 0};
  for (;;) {
    const auto left = std::max(deadline - std::chrono::steady_clock::now(), ByteStream::Time::duration::zero());
    const timespec timeout = to_timespec(left);
    const int ready = ::ppoll(&entry, 1, &timeout, nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // the following read or write reports the error
  }
}

}  // namespace tollgate::inline v0
