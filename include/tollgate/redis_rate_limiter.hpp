/// A limiter with one token budget per user and minute, shared by every process on the same Redis.
///
///     tollgate::RedisRateLimiter limiter{"redis://localhost:6379/0", {.max_tokens_per_minute = 5'000}};
///     if (!limiter.check_and_consume("user_42", estimated_tokens)) return too_many_requests();
///
/// Blocking: each function blocks for at most one round trip (two after a denial, see RateLimitConfig::deny_memory),
/// and never past CallOptions::deadline; without one, for the client's command timeout (250 ms by default) per round
/// trip. Errors: std::invalid_argument, before anything is sent, when an argument is out of its range. tollgate::Error
/// when Redis gave no usable reply, unless RateLimitConfig::on_failure says otherwise. A denial is a value, not an
/// error.
/// Thread safety: every function may be called from all threads; so may several limiters on one client.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tollgate/call_options.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/detail/export.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/reservation.hpp"
#include "tollgate/stats.hpp"

namespace tollgate::inline v0 {

class BlockingLimiter;  // src/doors/blocking_limiter.hpp

class TOLLGATE_EXPORT RedisRateLimiter {
 public:
  /// Uses the client that this process has for `url` and the observer of `config`, or makes one: see connect_shared();
  /// RedisRateLimiter{connect(url), config} has a private one. The clock of `config` is also that of a `memory://`
  /// store. No I/O: the client connects at its first use.
  explicit RedisRateLimiter(std::string_view url = "redis://localhost:6379/0", RateLimitConfig config = {});

  /// Likewise, with options for its client, in which a null observer or clock is replaced by that of `config`.
  RedisRateLimiter(std::string_view url, RateLimitConfig config, ClientOptions client);

  /// Shares `client`, which must not be null.
  explicit RedisRateLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config = {});

  /// Neither copied nor moved: every copy would share one budget of counters and memory. Pass it by reference, or share
  /// a client between limiters.
  RedisRateLimiter(const RedisRateLimiter&) = delete;
  RedisRateLimiter& operator=(const RedisRateLimiter&) = delete;

  /// Whether `tokens` (0 … 2^53-1, default 1) were charged to the user; when not, nothing was.
  /// `user_id`: 1 … 512 bytes of any kind.
  [[nodiscard]] bool check_and_consume(std::string_view user_id, std::int64_t tokens = 1,
                                       const CallOptions& options = {});

  /// As check_and_consume, and returns the budget's state. `tokens` over the limit are denied without a round trip;
  /// 0 tokens charge nothing and are allowed unless the counter stands above the limit.
  [[nodiscard]] Decision consume(std::string_view user_id, std::int64_t tokens = 1, const CallOptions& options = {});

  /// As consume, without exceptions, for outages under load: where kThrow would throw, it denies with `failure` set.
  /// `failure` is std::errc::invalid_argument for an argument out of range.
  [[nodiscard]] Decision try_consume(std::string_view user_id, std::int64_t tokens = 1,
                                     const CallOptions& options = {}) noexcept;

  /// As try_consume for each of many requests, in one round trip per 256 requests (two where a denial is remembered):
  /// for event loops and batch jobs. Returns one decision per request, in order. The decisions are independent: a
  /// request that is denied, or whose arguments are out of range, changes nothing for others, even of the same user.
  /// CallOptions::deadline applies to the whole call. Throws std::invalid_argument when an operation_id is given,
  /// because one id cannot name many operations, and std::bad_alloc before anything is sent.
  [[nodiscard]] std::vector<Decision> consume_all(std::span<const ConsumeRequest> requests,
                                                  const CallOptions& options = {});

  /// The state of the budget, charging nothing: consume with 0 tokens.
  [[nodiscard]] Decision peek(std::string_view user_id, const CallOptions& options = {});

  /// Tokens left in this minute, 0 … limit; the whole budget for a user who has spent nothing.
  /// Throws tollgate::Error under every on_failure, because no policy can supply a number.
  std::int64_t get_remaining(std::string_view user_id, const CallOptions& options = {});

  /// Deletes every window of the user: first the current and adjacent ones, then those that a SCAN over the whole
  /// keyspace finds. Keys of other users are never deleted. Takes a round trip per 500 keys in Redis; the command
  /// timeout applies to each, CallOptions::deadline to the whole call. Throws tollgate::Error under every on_failure; a
  /// reset that failed half-way may be repeated. Where SCAN was refused, the error says that older windows may remain.
  void reset(std::string_view user_id, const CallOptions& options = {});

  /// Deletes the current window of the user and the two next to it, by key, in one round trip and without SCAN, which
  /// is sufficient when all clocks agree within a minute. Otherwise as reset().
  void reset_current(std::string_view user_id, const CallOptions& options = {});

  /// Charges an estimate now; settle the reservation when the real number is known. A denial is a Reservation that
  /// holds nothing. `estimated_tokens`: as `tokens` of consume.
  [[nodiscard]] Reservation reserve(std::string_view user_id, std::int64_t estimated_tokens,
                                    const CallOptions& options = {});

  /// The reservation that Reservation::token() described, in this process or another. Nothing is sent. Throws
  /// std::invalid_argument when the token is damaged, forged or of another key_prefix or token_secret.
  [[nodiscard]] Reservation adopt(std::string_view token);

  /// Charges `tokens` (0 … 2^53-1) after the fact, also past the limit; a user past the limit has 0 tokens remaining.
  /// Throws tollgate::Error under every on_failure, so that the caller can record the tokens again.
  void record(std::string_view user_id, std::int64_t tokens, const CallOptions& options = {});

  /// For readiness probes: returns when Redis has answered a PING, and throws tollgate::Error otherwise, under every
  /// on_failure; also when Redis refuses to run scripts, and when a request in this minute failed because of Redis's
  /// configuration (is_misconfiguration()). Connects if there is no connection. One round trip.
  void ping(const CallOptions& options = {});

  /// For shutdown: blocks until every undo and settlement posted so far has been answered, or until `deadline`; true
  /// when none is left. Without it the client's destructor does that, within its command timeout.
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

  /// Counters of this limiter, its reservations and its client. Takes no lock; cheap enough for every scrape.
  [[nodiscard]] Stats stats() const;

  /// Posts of this limiter and its reservations that were not delivered, since it was made.
  [[nodiscard]] Undelivered undelivered() const noexcept;

 private:
  void check(std::string_view user_id, std::int64_t tokens, const CallOptions& options) const;

  [[nodiscard]] Decision refuse(Source source, std::errc failure) const noexcept;

  std::shared_ptr<BlockingLimiter> limiter_;
};

}  // namespace tollgate::inline v0
