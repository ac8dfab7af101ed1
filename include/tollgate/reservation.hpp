/// An estimate that has been charged, and is settled when the real number of tokens is known.
///
///     auto reservation = limiter.reserve("user_42", estimate);
///     if (!reservation.allowed()) return too_many_requests();
///     reservation.settle(answer.tokens_used);
///
/// When it is destroyed or assigned over without settle() or cancel(), the estimate stays charged; unless token() was
/// called, this is counted (Stats::reservations_dropped) and reported (kReservationDropped). The destructor does no
/// I/O; settle() and cancel() do none beyond their post, also when the reservation is the last owner of limiter and
/// client. A reservation may outlive its limiter. After a reset of the user's budget, tokens given back lower the new
/// counter, never below zero. Thread safety: one thread at a time; distinct reservations are independent.
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

  /// Tokens charged now: the estimate and what add() charged; 0 when denied, settled or cancelled, and when
  /// FailurePolicy::kAllow admitted the request uncounted.
  [[nodiscard]] std::int64_t tokens() const noexcept { return earlier_ + held_; }

  /// Charges `tokens` (0 … 2^53-1) more, when they fit into the budget of the current minute. Blocks for a round trip,
  /// and fails as RedisRateLimiter::consume does. Throws std::logic_error once settled, cancelled or moved from.
  /// Tokens of an earlier window stay charged there from then on: that window no longer counts.
  [[nodiscard]] Decision add(std::int64_t tokens, const CallOptions& options = {});

  /// Replaces the charge by `actual_tokens` (0 … 2^53-1). When that is less than was charged, the rest is given back to
  /// the charged window, if that has not ended. When it is more, the excess is charged to the current window, if
  /// necessary past the limit; on a denied reservation, all of it. Returns at once; throws std::invalid_argument only.
  /// A settlement that cannot be delivered is counted by RedisRateLimiter::undelivered(). A second call, and one after
  /// cancel(), has no effect. Of several reservations with the same operation_id, or adopted from the same token(),
  /// only the first settlement has an effect; for these the operation_id of `options` is ignored, and an excess is
  /// charged within an hour after the minute that was charged first: later it is not, and counts as undelivered.
  void settle(std::int64_t actual_tokens, const CallOptions& options = {});

  /// Gives back all that was charged: settle(0).
  void cancel() noexcept;

  /// This reservation as printable text of 129 … 1405 bytes, to settle it in another process with
  /// RedisRateLimiter::adopt. However often it is settled, only the first settlement has an effect. It contains the
  /// user id, not encrypted. It describes the current charge, so call it after the last add(). Throws std::logic_error
  /// once settled, cancelled or moved from.
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
  std::string once_id_;  // the settlement's operation id; may be empty until token() is called
  Decision decision_;
  detail::WindowId first_window_;  // the window that was charged first
  detail::WindowId window_;        // the window in which held_ is charged
  std::int64_t held_ = 0;          // tokens, in that window
  std::int64_t earlier_ = 0;       // tokens, in windows before it
  bool has_token_ = false;         // token() was called: another process may settle it
};

}  // namespace tollgate::inline v0
