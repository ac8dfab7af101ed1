/// The TLS sessions that may be resumed with one server, so that a new connection costs no check of certificates and,
/// with TLS 1.2, no second round trip.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>

#include "transport/openssl.hpp"

namespace tollgate::inline v0 {

class TlsSessions {
 public:
  /// More than the connections that one client has to a server.
  static constexpr std::size_t kKept = 8;

  /// Keeps `session`, in place of the oldest one when there are kKept.
  void add(openssl::Session session) noexcept;

  /// The newest session, or null. A session of TLS 1.3 is given once, so that an observer cannot link two connections
  /// (RFC 8446, appendix C.4). A session whose certificate has expired meanwhile is dropped: resumption does not check
  /// it.
  [[nodiscard]] openssl::Session take() noexcept;

  void clear() noexcept;

 private:
  std::mutex mutex_;
  std::array<openssl::Session, kKept> sessions_;  // a ring
  std::size_t next_ = 0;                          // the place of the next session
};

}  // namespace tollgate::inline v0
