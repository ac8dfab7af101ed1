#include "transport/connection.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>

#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {
namespace {

redisContext* adopt(int descriptor) {
  redisContext* const context = redisConnectFd(descriptor);
  if (context == nullptr || context->err != 0) {
    if (context != nullptr) redisFree(context);
    ::close(descriptor);
    throw std::bad_alloc{};
  }
  return context;
}

// The longest that a recv may block. The kernel's timeout overshoots, so the end of a wait is polled for.
constexpr std::chrono::milliseconds kReceiveTimeout{20};

bool make_blocking(int descriptor) noexcept {
  const timeval timeout{0, std::chrono::microseconds{kReceiveTimeout}.count()};
  return ::setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 &&
         ::fcntl(descriptor, F_SETFL, 0) == 0;
}

// At once; the next call reads on. A peer that floods would be read for ever.
constexpr int kMostReads = 64;

Failure lost(std::string detail) { return {Errc::kConnectionLost, true, std::move(detail)}; }

}  // namespace

Connection::Connection(int descriptor)
    : context_(adopt(descriptor)), parser_(*context_->reader), may_block_(make_blocking(descriptor)) {}

std::size_t Connection::send() noexcept {
  std::size_t sent = 0;
  while (sent < outgoing.size()) {
    // A peer that has closed must not raise SIGPIPE in somebody's program.
    constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
    const ssize_t count = ::send(descriptor(), outgoing.data() + sent, outgoing.size() - sent, kFlags);
    if (count < 0) {
      if (errno == EINTR) continue;
      closing = errno != EAGAIN && errno != EWOULDBLOCK;
      break;
    }
    sent += static_cast<std::size_t>(count);
  }
  return sent;
}

bool Connection::wait(Deadline deadline, bool for_write) const noexcept {
  pollfd entry{descriptor(), static_cast<short>(for_write ? POLLIN | POLLOUT : POLLIN), 0};
  for (;;) {
    const auto left = std::max(deadline - std::chrono::steady_clock::now(), Deadline::duration::zero());
    const timespec timeout = to_timespec(left);
    const int ready = ::ppoll(&entry, 1, &timeout, nullptr);
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return true;  // whatever is wrong, reading will tell
  }
}

Failure Connection::receive(std::vector<Reply>& replies) { return read(MSG_DONTWAIT, replies); }

Failure Connection::wait_and_receive(Deadline deadline, bool for_write, std::vector<Reply>& replies) {
  if (may_block_ && !for_write && deadline - std::chrono::steady_clock::now() > 2 * kReceiveTimeout) {
    return read(0, replies);
  }
  return wait(deadline, for_write) ? receive(replies) : Failure{};
}

/// `flags` are those of the first recv; the others never wait.
Failure Connection::read(int flags, std::vector<Reply>& replies) {
  std::array<char, 16'384> buffer;
  for (int reads = 0; reads < kMostReads; ++reads, flags = MSG_DONTWAIT) {
    const ssize_t count = ::recv(descriptor(), buffer.data(), buffer.size(), flags);
    if (count == 0) return lost("Redis closed it");
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
      return lost(std::system_category().message(errno));
    }
    if (!parser_.feed({buffer.data(), static_cast<std::size_t>(count)}, replies)) {
      return {Errc::kProtocol, true, "the bytes are no RESP2 reply"};
    }
    if (static_cast<std::size_t>(count) < buffer.size()) break;
  }
  return {};
}

}  // namespace tollgate::inline v0
