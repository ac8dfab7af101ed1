/// The result of one look-up of a host, for which any number of callers can wait.
/// Thread safety: every function may be called from all threads, but finish() once.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tollgate::inline v0 {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

/// The outcome of a look-up: addresses in the order in which they should be tried, or an error.
struct HostAddresses {
  std::vector<SocketAddress> addresses;
  std::string error = {};  ///< empty = none
};

class Resolution {
 public:
  /// Starts to resolve `host`, or joins the look-up of it that is in progress in this process; returns at once. A
  /// numeric address is resolved when this returns. Throws std::bad_alloc only.
  [[nodiscard]] static std::shared_ptr<Resolution> start(const std::string& host, std::uint16_t port);

  /// Blocks until the look-up has ended. False when `deadline` passed first.
  [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point deadline) noexcept;

  // Once wait_until() has returned true:
  [[nodiscard]] const std::vector<SocketAddress>& addresses() const noexcept { return found_.addresses; }
  [[nodiscard]] const std::string& error() const noexcept { return found_.error; }  ///< empty = none

  /// Ends every wait, now and later.
  void finish(HostAddresses found) noexcept;

 private:
  HostAddresses found_;                     // written before finished_ is set, and not again
  std::atomic<std::uint32_t> finished_{0};  // a futex: 1 once found_ holds
  static_assert(sizeof(finished_) == sizeof(std::uint32_t) && std::atomic<std::uint32_t>::is_always_lock_free);
};

}  // namespace tollgate::inline v0
