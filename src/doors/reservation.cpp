#include "tollgate/reservation.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <utility>

#include "doors/blocking_limiter.hpp"
#include "doors/digests.hpp"
#include "doors/reservation_token.hpp"
#include "values/arguments.hpp"
#include "values/non_blocking_release.hpp"

namespace tollgate::inline v0 {

Reservation::Reservation(std::shared_ptr<BlockingLimiter> limiter, std::string_view user_id)
    : limiter_(std::move(limiter)), user_id_(user_id) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    std::destroy_at(this);
    std::construct_at(this, std::move(other));  // throws nothing
  }
  return *this;
}

Reservation::~Reservation() {
  if (limiter_ && tokens() > 0 && !has_token_) limiter_->drop(tokens());
  release();
}

/// This may be the last owner of limiter and client; then another thread closes the client.
void Reservation::release() noexcept {
  const detail::NonBlockingRelease scope;
  limiter_.reset();
}

Reservation Reservation::make(std::shared_ptr<BlockingLimiter> limiter, std::string_view user_id, std::int64_t tokens,
                              const CallOptions& options) {
  Reservation reservation{std::move(limiter), user_id};
  // Repetitions of a reservation share its operation id, so only the first settlement of them has an effect.
  reservation.once_id_ = options.operation_id.value_or(std::string_view{});
  reservation.window_ = reservation.first_window_ = reservation.limiter_->current_window();
  reservation.decision_ = reservation.charge(tokens, options);
  return reservation;
}

Reservation Reservation::adopt(std::shared_ptr<BlockingLimiter> limiter, std::string_view token) {
  ReservationToken fields = ReservationToken::decode(token, limiter->config());
  Reservation reservation{std::move(limiter), fields.user_id};
  reservation.once_id_ = std::move(fields.id);
  reservation.decision_ = {
      .allowed = true, .limit = reservation.limiter_->config().max_tokens_per_minute, .source = Source::kLocal};
  reservation.window_ = fields.window;
  reservation.first_window_ = fields.first_window;
  reservation.held_ = fields.held;
  reservation.earlier_ = fields.earlier;
  return reservation;
}

Decision Reservation::charge(std::int64_t tokens, const CallOptions& options) {
  Outcome outcome = limiter_->consume(user_id_, tokens, options);
  if (outcome.charged) {
    if (this->tokens() == 0) first_window_ = outcome.window;
    if (tokens > 0 && outcome.window != window_) {
      earlier_ += std::exchange(held_, 0);
      window_ = outcome.window;
    }
    held_ += tokens;
  } else if (this->tokens() == 0 && outcome.decision.source == Source::kRedis) {
    window_ = first_window_ = outcome.window;  // of a repeated denial: the first one's
  }
  return limiter_->finish_or_throw(std::move(outcome));
}

Decision Reservation::add(std::int64_t tokens, const CallOptions& options) {
  detail::check_tokens("tokens", tokens);
  check_open("add");
  detail::check_options(options, limiter_->config());
  // An operation id would find the record of the reservation, and charge nothing.
  return charge(tokens, {.deadline = options.deadline});
}

void Reservation::settle(std::int64_t actual_tokens, const CallOptions& options) {
  detail::check_tokens("actual_tokens", actual_tokens);
  if (!limiter_) return;
  detail::check_options(options, limiter_->config());
  settle_once(actual_tokens, once_id_.empty() ? options.operation_id.value_or(std::string_view{}) : once_id_);
}

void Reservation::cancel() noexcept {
  if (limiter_) settle_once(0, once_id_);
}

void Reservation::settle_once(std::int64_t actual_tokens, std::string_view once_id) noexcept {
  const std::int64_t excess = std::max(actual_tokens - tokens(), -held_);
  // With an operation id, a settlement without a difference is posted too, so that a later one has no effect.
  if (excess != 0 || !once_id.empty()) limiter_->settle({user_id_, window_, first_window_, excess, once_id});
  release();
  held_ = 0;
  earlier_ = 0;
}

std::string Reservation::token() {
  check_open("token");
  if (once_id_.empty()) once_id_ = random_id();
  const ReservationToken fields{user_id_, once_id_, first_window_, window_, held_, earlier_};
  std::string text = fields.encode(limiter_->config());
  has_token_ = true;
  return text;
}

void Reservation::check_open(const char* what) const {
  if (!limiter_) throw std::logic_error(std::string{"tollgate: "} + what + "() on a reservation that has ended");
}

}  // namespace tollgate::inline v0
