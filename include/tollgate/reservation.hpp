/// An estimate that has been charged, and is settled when the real number of tokens is known.
///
///     auto reservation = limiter.reserve("user_42", estimate);
///     if (!reservation.allowed()) return too_many_requests();
///     reservation.settle(answer.tokens_used);
///
/// Destroyed or assigned over without settle() or cancel(), the estimate stays charged; unless token() has handed it to
/// others, that is counted (Stats::reservations_dropped) and reported (kReservationDropped). The destructor does no
/// I/O, nor do settle() and cancel() beyond their post, also as the last owner of limiter and client; a reservation may
/// outlive its limiter. After a reset of the user's budget, what is given back lowers the new counter,
/// never below zero. Thread safety: one thread at a time; distinct reservations are independent.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tollgate/call_options.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/detail/window_id.hpp"

namespace tollgate::inline v0 {

class BlockingLimiter;  // src/doors/blocking_limiter.hpp

class TOLLGATE_EXPORT Reservation {
 public:
  Reservation(Reservation&&) noexcept = default;
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation();

  [[nodiscard]] bool allowed() const noexcept { return decision_.allowed; }
  explicit operator bool() const noexcept { return allowed(); }
  [[nodiscard]] const Decision& decision() const noexcept { return decision_; }

  /// What is charged now: the estimate and what was added; 0 when denied, settled or cancelled, and when
  /// FailurePolicy::kAllow let the request pass uncounted.
  [[nodiscard]] std::int64_t tokens() const noexcept { return earlier_ + held_; }

  /// Charges `tokens` (0 … 2^53-1) more, when they fit into the budget of the current minute. Blocks for a round trip,
  /// and fails as RedisRateLimiter::consume does. Throws std::logic_error once settled, cancelled or moved from.
  /// Tokens of an earlier window stay charged there from then on: that window no longer counts.
  [[nodiscard]] Decision add(std::int64_t tokens, const CallOptions& options = {});

  /// The request used `actual_tokens` (0 … 2^53-1) in all. Less than was charged: the rest is given back to the window
  /// that was charged, while that counts. More: the excess is charged to the window that counts now, past the limit
  /// where need be; so is all of it on a reservation that was denied. Returns at once; never throws but
  /// std::invalid_argument. What cannot be delivered is counted by RedisRateLimiter::undelivered(). The second call,
  /// and one after cancel(), has no effect; nor has one on a repeated reservation (the same operation_id) or on one
  /// adopted from token(), once another of them was settled. For those the operation_id of `options` is not needed, and
  /// does not count.
  void settle(std::int64_t actual_tokens, const CallOptions& options = {});

  /// The request used nothing: settle(0).
  void cancel() noexcept;

  /// This reservation as printable text of 150 … 1200 bytes, to settle it in another process with
  /// RedisRateLimiter::adopt. However many settle it, one does. Holds the user id, readable by everyone who has it;
  /// describes what is held now, so take it after the last add(). Throws std::logic_error once settled, cancelled or
  /// moved from.
  [[nodiscard]] std::string token();

 private:
  friend class RedisRateLimiter;

  Reservation(std::shared_ptr<BlockingLimiter> limiter, std::string_view user_id);

  static Reservation make(std::shared_ptr<BlockingLimiter> limiter, std::string_view user_id, std::int64_t tokens,
                          const CallOptions& options);
  static Reservation adopt(std::shared_ptr<BlockingLimiter> limiter, std::string_view token);

  Decision charge(std::int64_t tokens, const CallOptions& options);
  void settle_once(std::int64_t actual_tokens, std::string_view once_id) noexcept;
  void release() noexcept;
  void check_open(const char* what) const;

  std::shared_ptr<BlockingLimiter> limiter_;  // null once settled, cancelled or moved from
  std::string user_id_;
  std::string once_id_;  // empty until token() lets others settle it too
  Decision decision_;
  detail::WindowId window_;   // that held_ was charged to
  std::int64_t held_ = 0;     // tokens, in that window
  std::int64_t earlier_ = 0;  // tokens, in windows before it
  bool handed_on_ = false;    // by token(): others settle it
};

}  // namespace tollgate::inline v0
