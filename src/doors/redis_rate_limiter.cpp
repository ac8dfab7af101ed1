#include "tollgate/redis_rate_limiter.hpp"

#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "doors/blocking_limiter.hpp"
#include "doors/client_defaults.hpp"
#include "values/arguments.hpp"

namespace tollgate::inline v0 {

RedisRateLimiter::RedisRateLimiter(std::string_view url, RateLimitConfig config)
    : RedisRateLimiter{url, std::move(config), ClientOptions{}} {}

// Braces, because they evaluate in order: the client is made before `config` is moved from.
RedisRateLimiter::RedisRateLimiter(std::string_view url, RateLimitConfig config, ClientOptions client)
    : RedisRateLimiter{connect_shared(url, with_defaults_of(config, std::move(client))), std::move(config)} {}

RedisRateLimiter::RedisRateLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config)
    : limiter_(std::make_shared<BlockingLimiter>(std::move(client), std::move(config))) {}

bool RedisRateLimiter::check_and_consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  return consume(user_id, tokens, options).allowed;
}

Decision RedisRateLimiter::consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  check(user_id, tokens, options);
  return limiter_->finish_or_throw(limiter_->consume(user_id, tokens, options));
}

Decision RedisRateLimiter::try_consume(std::string_view user_id, std::int64_t tokens,
                                       const CallOptions& options) noexcept {
  try {
    check(user_id, tokens, options);
    return limiter_->finish(limiter_->consume(user_id, tokens, options).decision);
  } catch (const std::invalid_argument&) {
    return refuse(Source::kLocal, std::errc::invalid_argument);
  } catch (const std::bad_alloc&) {
    return refuse(Source::kFallback, std::errc::not_enough_memory);
  } catch (...) {  // an injected client threw
    return refuse(Source::kFallback, std::errc::io_error);
  }
}

std::vector<Decision> RedisRateLimiter::consume_all(std::span<const ConsumeRequest> requests,
                                                    const CallOptions& options) {
  detail::check_options_of_many(options);
  return limiter_->consume_all(requests, options);
}

Decision RedisRateLimiter::peek(std::string_view user_id, const CallOptions& options) {
  return consume(user_id, 0, options);
}

std::int64_t RedisRateLimiter::get_remaining(std::string_view user_id, const CallOptions& options) {
  check(user_id, 0, options);
  Outcome outcome = limiter_->consume(user_id, 0, options);
  limiter_->check(std::move(outcome.failure).value_or(Failure{}));
  return outcome.decision.remaining.value_or(0);
}

void RedisRateLimiter::reset(std::string_view user_id, const CallOptions& options) {
  check(user_id, 0, options);
  limiter_->check(limiter_->reset(user_id, decisions::ResetScan::Reach::kEveryWindow, options));
}

void RedisRateLimiter::reset_current(std::string_view user_id, const CallOptions& options) {
  check(user_id, 0, options);
  limiter_->check(limiter_->reset(user_id, decisions::ResetScan::Reach::kCurrentWindows, options));
}

Reservation RedisRateLimiter::reserve(std::string_view user_id, std::int64_t estimated_tokens,
                                      const CallOptions& options) {
  detail::check_tokens("estimated_tokens", estimated_tokens);
  check(user_id, 0, options);
  return Reservation::make(limiter_, user_id, estimated_tokens, options);
}

Reservation RedisRateLimiter::adopt(std::string_view token) { return Reservation::adopt(limiter_, token); }

void RedisRateLimiter::record(std::string_view user_id, std::int64_t tokens, const CallOptions& options) {
  check(user_id, tokens, options);
  if (tokens == 0) return;
  limiter_->check(limiter_->record(user_id, tokens, options));
}

void RedisRateLimiter::ping(const CallOptions& options) { limiter_->check(limiter_->ping(options)); }

bool RedisRateLimiter::drain(std::chrono::steady_clock::time_point deadline) { return limiter_->drain(deadline); }

Stats RedisRateLimiter::stats() const { return limiter_->stats(); }

Undelivered RedisRateLimiter::undelivered() const noexcept { return limiter_->undelivered(); }

void RedisRateLimiter::check(std::string_view user_id, std::int64_t tokens, const CallOptions& options) const {
  detail::check_user_id(user_id);
  detail::check_tokens("tokens", tokens);
  detail::check_options(options, limiter_->config());
}

Decision RedisRateLimiter::refuse(Source source, std::errc failure) const noexcept {
  return limiter_->finish(limiter_->denial(source, failure));
}

}  // namespace tollgate::inline v0
