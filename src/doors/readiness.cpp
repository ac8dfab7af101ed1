#include "doors/readiness.hpp"

#include <span>
#include <string_view>

#include "decisions/fixed_window.hpp"
#include "decisions/window.hpp"
#include "doors/post_handlers.hpp"

namespace tollgate::inline v0 {

using decisions::Asked;

std::int64_t Readiness::current_minute() const noexcept { return decisions::unix_minute(clock_->now()); }

void Readiness::failed(Asked asked, LimiterEvents::Period period, const Failure& failure) noexcept {
  const bool is_set_up = !is_misconfiguration(failure.code);
  if (!is_set_up) events_->misconfigured(failure);
  if (asked != Asked::kNothing) events_->failed(asked, period, failure);
  if (is_set_up) return;
  counters_->count_misconfigured();
  if (failure.code == Errc::kWrongType) return;  // it concerns one user's counter only
  fault_minute_.store(current_minute(), std::memory_order_relaxed);
  fault_.store(failure.code.value(), std::memory_order_relaxed);
}

Failure Readiness::ping(RedisClient& client, const CallOptions& options) {
  CommandBatch batch;
  batch.ping();
  Failure failure = decisions::FixedWindow::read_ping(client.execute(batch, options.deadline, nullptr));
  if (failure.code) return failure;
  if (rights_->refusal().code) {
    CommandBatch script;
    script.run(probe_, std::span<const std::string_view>{}, {});
    const BatchResult result = client.execute(script, options.deadline, nullptr);
    if (!failure_of(script, result, 0).code) rights_->answered();
  }
  if (client.script_refusal().code) static_cast<void>(rights_->scripts(client));
  if (Failure refusal = rights_->refusal(); refusal.code) return explain_script_refusal(std::move(refusal));
  const int fault = fault_.load(std::memory_order_relaxed);
  if (fault == 0 || fault_minute_.load(std::memory_order_relaxed) != current_minute()) return failure;
  return {static_cast<Errc>(fault), false, "Redis answered PING, but refused a request in this minute"};
}

}  // namespace tollgate::inline v0
