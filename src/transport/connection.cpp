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
#include <string_view>
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

bool is_unix_socket(int descriptor) noexcept {
  int domain = AF_UNSPEC;
  socklen_t length = sizeof domain;
  return ::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

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

/// A server that expects TLS takes the first request for a broken handshake: it resets the connection, or sends an
/// alert record first (RFC 8446, section 6), which begins with 0x15 0x03.
Failure Connection::failed(Errc code, std::string detail) const {
  if (!has_received_ && !is_unix_socket(descriptor())) {
    detail += " before its first reply; perhaps the server expects TLS (rediss://)";
  }
  return {code, true, std::move(detail)};
}

/// `flags` are those of the first recv; the others never wait.
Failure Connection::read(int flags, std::vector<Reply>& replies) {
  std::array<char, 16'384> buffer;
  for (int reads = 0; reads < kMostReads; ++reads, flags = MSG_DONTWAIT) {
    const ssize_t count = ::recv(descriptor(), buffer.data(), buffer.size(), flags);
    if (count == 0) return failed(Errc::kConnectionLost, "Redis closed the connection");
    if (count < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
      return failed(Errc::kConnectionLost, std::system_category().message(errno));
    }
    const std::string_view bytes{buffer.data(), static_cast<std::size_t>(count)};
    if (!has_received_ && bytes.starts_with("\x15\x03")) return failed(Errc::kProtocol, "Redis sent a TLS alert");
    has_received_ = true;
    if (!parser_.feed(bytes, replies)) return failed(Errc::kProtocol, "the bytes are no RESP2 reply");
    if (static_cast<std::size_t>(count) < buffer.size()) break;
  }
  return {};
}

}  // namespace tollgate::inline v0
