/// Name resolution that does not hold its caller: getaddrinfo knows no deadline, so a name is looked up on a thread of
/// its own. Numeric addresses need none.
/// Thread safety: one waiter at a time.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

class Resolution {
 public:
  /// Starts to look up `host`; waits for nothing.
  [[nodiscard]] static std::shared_ptr<Resolution> start(const std::string& host, std::uint16_t port);

  /// False when the deadline came before the answer.
  [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point deadline) noexcept {
    return done_.wait_until(deadline);
  }

  // Once wait_until() has returned true:
  [[nodiscard]] const std::vector<SocketAddress>& addresses() const noexcept { return addresses_; }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }  ///< empty = none

 private:
  void look_up(const std::string& host, std::uint16_t port, int flags) noexcept;

  WaitWord done_;
  std::vector<SocketAddress> addresses_;
  std::string error_;
};

}  // namespace tollgate::inline v0
