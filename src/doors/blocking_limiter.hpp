/// What RedisRateLimiter and Reservation stand on: asks the algorithm for a batch, hands it to the client, keeps the
/// denials in mind, applies the FailurePolicy, counts and tells. Arguments are checked by the doors above it.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "decisions/deny_memory.hpp"
#include "decisions/fixed_window.hpp"
#include "tollgate/call_options.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/redis_client.hpp"
#include "tollgate/stats.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {

/// A decision and what is behind it.
struct Outcome {
  Decision decision;
  std::optional<Failure> failure = std::nullopt;  ///< why Redis could not be asked; then the decision is the policy's
  bool charged = false;     ///< the tokens stand in the counter, are about to, or must be taken to
  std::int64_t minute = 0;  ///< the window that was charged
};

class LimiterCounters;  // src/tally.hpp
class LimiterEvents;    // src/limiter_events.hpp

class BlockingLimiter {
 public:
  BlockingLimiter(std::shared_ptr<RedisClient> client, RateLimitConfig config);
  ~BlockingLimiter();
  BlockingLimiter(const BlockingLimiter&) = delete;
  BlockingLimiter& operator=(const BlockingLimiter&) = delete;

  [[nodiscard]] const RateLimitConfig& config() const noexcept { return config_; }
  [[nodiscard]] std::int64_t current_minute() const noexcept { return decisions::unix_minute(clock_->now()); }

  /// Charges `tokens`, or only looks when they are 0.
  [[nodiscard]] Outcome consume(std::string_view user_id, std::int64_t tokens, const CallOptions& options);

  /// The decisions on all of `requests`, in their order, each as hand_out() gives it; at most kMostPerRoundTrip share a
  /// round trip.
  [[nodiscard]] std::vector<Decision> consume_all(std::span<const ConsumeRequest> requests, const CallOptions& options);
  static constexpr std::size_t kMostPerRoundTrip = 256;

  // Every call of a door ends in one of these, or in adjust(), drain() or drop(): here its result is counted, and what
  // has happened meanwhile is told.

  /// The decision, for a caller who takes exceptions: under kThrow it throws the failure behind it.
  Decision decide(Outcome outcome);
  /// The decision, whatever is behind it.
  [[nodiscard]] Decision hand_out(const Decision& decision) noexcept;
  /// Throws `failure`, if it is one. Otherwise nothing is counted: that nothing failed is no decision.
  void check(Failure failure);

  /// A denial to hand out for a call that came to nothing, without asking.
  [[nodiscard]] Decision denial(Source source, std::errc failure) const noexcept;

  /// Charges `tokens` past the limit.
  [[nodiscard]] Failure record(std::string_view user_id, std::int64_t tokens, const CallOptions& options);

  [[nodiscard]] Failure reset(std::string_view user_id, const CallOptions& options);

  [[nodiscard]] Failure ping(const CallOptions& options);
  [[nodiscard]] bool drain(std::chrono::steady_clock::time_point deadline);

  /// Posts: adds `tokens` to a window past the limit, or gives them back when negative. Never throws for operational
  /// reasons; what cannot be delivered is counted.
  void adjust(std::string_view user_id, std::int64_t minute, std::int64_t tokens, std::string_view once_id) noexcept;

  /// A reservation of `tokens` has ended without a word.
  void drop(std::int64_t tokens) noexcept;

  [[nodiscard]] Stats stats() const;
  [[nodiscard]] Undelivered undelivered() const noexcept;

 private:
  class Memory;       // the DenyMemory behind its locks
  class Share;        // the LocalShare behind its locks
  class PostHandler;  // counts and tells what was not delivered
  class Repair;       // sends an expiry until Redis has it
  class LateCharge;   // mends charges whose caller has gone
  struct Question;

  [[nodiscard]] Question prepare(const decisions::Request& request, std::chrono::steady_clock::time_point now,
                                 Outcome& outcome);
  void ask(std::span<Question> questions, const CallOptions& options);
  void read(std::span<Question> questions, const BatchResult& result, std::uint64_t era);
  void read_look(Question& question, const ReplyRange& replies, std::int64_t inflated_by, std::uint64_t era);
  void read_charge(Question& question, const ReplyRange& replies, std::int64_t inflated_by, std::uint64_t era);
  [[nodiscard]] static std::int64_t inflation(std::span<const Question> earlier, std::string_view user_id);
  void undo(std::span<Question> questions) noexcept;
  void remember_left(const Question& question, const decisions::Answer& answer) const;
  void remember_charge(const Question& question, const decisions::Answer& answer) const;
  void post_settlement(std::string_view user_id, std::int64_t minute, std::int64_t tokens,
                       std::string_view once_id) noexcept;
  void conclude(Question& question, decisions::Answer& answer);
  [[nodiscard]] Outcome fall_back(const decisions::Request& request, Failure failure);

  const RateLimitConfig config_;
  const decisions::FixedWindow window_;
  const std::shared_ptr<const Clock> clock_;
  const std::shared_ptr<RedisClient> client_;
  const std::unique_ptr<detail::ForkLocal<Memory>> memory_;  // null when switched off
  const std::unique_ptr<detail::ForkLocal<Share>> share_;    // null but under kLocalShare
  const std::shared_ptr<LimiterCounters> counters_;
  const std::shared_ptr<LimiterEvents> events_;
  const std::shared_ptr<PostHandler> undos_;
  const std::shared_ptr<PostHandler> settlements_;
  const std::shared_ptr<ReplyHandler> late_charge_;
};

}  // namespace tollgate::inline v0
