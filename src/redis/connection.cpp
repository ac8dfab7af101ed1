#include "redis/connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <system_error>

#include "redis/wait_word.hpp"

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

// At once; the next call reads on. A peer that floods would be read for ever.
constexpr int kMostReads = 64;

Failure lost(std::string detail) { return {Errc::kConnectionLost, true, std::move(detail)}; }

}  // namespace

Connection::Connection(int descriptor) : context_(adopt(descriptor)), parser_(*context_->reader) {}

std::size_t Connection::send() noexcept {
  std::size_t sent = 0;
  while (sent < outgoing.size()) {
    // MSG_NOSIGNAL: a peer that has closed must not raise SIGPIPE in somebody's program.
    const ssize_t count = ::send(descriptor(), outgoing.data() + sent, outgoing.size() - sent, MSG_NOSIGNAL);
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

Failure Connection::receive(std::vector<Reply>& replies) {
  std::array<char, 16'384> buffer;
  for (int reads = 0; reads < kMostReads; ++reads) {
    const ssize_t count = ::recv(descriptor(), buffer.data(), buffer.size(), MSG_DONTWAIT);
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
