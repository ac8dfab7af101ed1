/// The door of tollgate: one token budget per user and minute, shared by every process on the same Redis.
///
///     tollgate::RedisRateLimiter limiter{"redis://localhost:6379/0", {.max_tokens_per_minute = 5'000}};
///     if (!limiter.check_and_consume("user_42", estimated_tokens)) return too_many_requests();
///
/// Blocking: each function blocks for at most one round trip (two after a denial, see RateLimitConfig::deny_memory),
/// and never past CallOptions::deadline; without one, for the client's command timeout (250 ms by default) per round
/// trip. Errors: std::invalid_argument, before anything is sent, when an argument is out of its range. tollgate::Error
/// when Redis could not be asked, unless RateLimitConfig::on_failure says otherwise. Denial is a value, not an error.
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
  /// Makes a client of its own for `url` (see connect()), with the observer and the clock of `config`. No I/O: it
  /// connects at the first use.
  explicit RedisRateLimiter(std::string_view url = "redis://localhost:6379/0", RateLimitConfig config = {});

  /// Likewise, with the options of its client: `config.observer` and `config.clock` where `client` has none.
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

  /// As check_and_consume, and tells the state of the budget. `tokens` over the limit are denied without a round trip;
  /// 0 tokens charge nothing and are allowed unless the counter stands above the limit.
  [[nodiscard]] Decision consume(std::string_view user_id, std::int64_t tokens = 1, const CallOptions& options = {});

  /// As consume, without exceptions, for outages under load: where kThrow would throw, it denies with `failure` set.
  /// `failure` is std::errc::invalid_argument for an argument out of range.
  [[nodiscard]] Decision try_consume(std::string_view user_id, std::int64_t tokens = 1,
                                     const CallOptions& options = {}) noexcept;

  /// As try_consume of each of many requests, in one round trip for every 256 (two where a denial is remembered): for
  /// event loops and batch jobs. One decision per request, in their order, each on its own merits: a request that is
  /// denied, or whose arguments are out of range, changes nothing for the others, be they of the same user.
  /// CallOptions::deadline is that of the whole. Throws std::invalid_argument for an operation_id, which could not name
  /// many operations, and std::bad_alloc before anything is sent.
  [[nodiscard]] std::vector<Decision> consume_all(std::span<const ConsumeRequest> requests,
                                                  const CallOptions& options = {});

  /// The state of the budget, charging nothing: consume with 0 tokens.
  [[nodiscard]] Decision peek(std::string_view user_id, const CallOptions& options = {});

  /// Tokens left in this minute, 0 … limit; the whole budget for a user who has spent nothing.
  /// Throws tollgate::Error whatever on_failure says: no policy knows a number.
  std::int64_t get_remaining(std::string_view user_id, const CallOptions& options = {});

  /// Deletes every window of the user: the current and adjacent ones at once, then whatever a SCAN over the whole
  /// keyspace finds. Other users' keys are left alone. Takes a round trip per 500 keys in Redis; the command timeout
  /// holds for each, CallOptions::deadline for the whole. Throws tollgate::Error whatever on_failure says; a reset that
  /// failed half-way may be repeated. Where SCAN was refused, the error says that older windows may remain.
  void reset(std::string_view user_id, const CallOptions& options = {});

  /// Deletes the current window of the user and those next to it, by name, in one round trip and without SCAN: enough
  /// where all clocks agree within a minute. Otherwise as reset().
  void reset_current(std::string_view user_id, const CallOptions& options = {});

  /// Charges an estimate now; settle the reservation when the real number is known. A denial is a Reservation that
  /// holds nothing. `estimated_tokens`: as `tokens` of consume.
  [[nodiscard]] Reservation reserve(std::string_view user_id, std::int64_t estimated_tokens,
                                    const CallOptions& options = {});

  /// The reservation that Reservation::token() described, in this process or another. Nothing is sent. Throws
  /// std::invalid_argument when the token is damaged, forged or of another key_prefix or token_secret.
  [[nodiscard]] Reservation adopt(std::string_view token);

  /// Charges `tokens` (0 … 2^53-1) after the fact, also past the limit: the debt shows as 0 remaining.
  /// Throws tollgate::Error whatever on_failure says: the caller knows what was not recorded.
  void record(std::string_view user_id, std::int64_t tokens, const CallOptions& options = {});

  /// For readiness probes: returns when Redis has answered a PING, and throws tollgate::Error otherwise, whatever
  /// on_failure says; also when Redis refuses to run scripts, and when it refused a request of this minute for its
  /// set-up (is_misconfiguration()). Connects where need be. One round trip.
  void ping(const CallOptions& options = {});

  /// For shutdown: blocks until every undo and settlement posted so far has been answered, or until `deadline`; true
  /// when none is left. Without it the client's destructor does that, within its command timeout.
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

  /// What this limiter and its reservations have done, and its client. Takes no lock; cheap enough for every scrape.
  [[nodiscard]] Stats stats() const;

  /// What this limiter and its reservations could not deliver, since it was made.
  [[nodiscard]] Undelivered undelivered() const noexcept;

 private:
  void check(std::string_view user_id, std::int64_t tokens, const CallOptions& options) const;

  [[nodiscard]] Decision refuse(Source source, std::errc failure) const noexcept;

  std::shared_ptr<BlockingLimiter> limiter_;
};

}  // namespace tollgate::inline v0
