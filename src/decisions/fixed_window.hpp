/// The fixed-window algorithm: which commands a request takes, and what their replies mean. Pure: no I/O, lock or
/// clock. The blocking limiter over Redis and the one over `memory://` are this same algorithm.
/// Thread safety: immutable.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "decisions/window.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::decisions {

/// What is asked, and when. Arguments are valid: the door has checked them.
struct Request {
  std::string_view user_id;
  std::int64_t tokens = 0;
  std::chrono::system_clock::time_point now;
  std::string_view operation_id = {};  ///< empty = none
};

/// What the replies say: a decision, or why there is none.
struct Answer {
  Decision decision;
  Failure failure;          ///< when set, `decision` is not meaningful
  bool must_undo = false;   ///< the charge was made and must be given back
  std::int64_t minute = 0;  ///< the window that was asked for or charged
  std::int64_t used = 0;    ///< the counter, without this request when it was denied
};

/// What became of a charge when its caller no longer waited for it.
enum class CallerWasTold : std::uint8_t { kYes, kNo };

class FixedWindow {
 public:
  /// How long the record of an operation id is kept. A counter lives at most until 60 s after its window, so whatever
  /// is repeated later finds no counter to touch.
  static constexpr std::chrono::seconds kOperationTtl{120};

  FixedWindow(std::int64_t limit, std::string key_prefix, Admission admission);

  [[nodiscard]] std::int64_t limit() const noexcept { return limit_; }
  [[nodiscard]] const std::string& key_prefix() const noexcept { return key_prefix_; }
  [[nodiscard]] Admission admission() const noexcept { return admission_; }
  [[nodiscard]] Key counter_key(std::string_view user_id, std::int64_t minute) const noexcept;

  /// Denied without asking; `never_fits` when the request exceeds the limit itself, and so will every repetition.
  /// Written into `decision`, which must be as it was made: to copy one would take a twentieth of what all of it takes.
  void deny_locally(const Request& request, bool never_fits, Decision& decision) const;

  /// What to answer when Redis could not be asked and the FailurePolicy has decided. Throwing is the door's.
  [[nodiscard]] Decision fall_back(const Request& request, bool allowed, std::error_code failure) const;

  // These append commands to a batch, which may carry many requests, and read the replies to them. `inflated_by`: what
  // earlier charges of the same batch, denied and not yet undone, have put on the same counter; 0 or more.

  /// Charges request.tokens, 1 … limit.
  void charge(const Request& request, CommandBatch& batch) const;
  [[nodiscard]] Answer read_charge(const Request& request, const ReplyRange& replies,
                                   std::int64_t inflated_by = 0) const;

  /// Reads the counter and charges nothing: allowed when request.tokens (0 or more) fit now.
  void look(const Request& request, CommandBatch& batch) const;
  [[nodiscard]] Answer read_look(const Request& request, const ReplyRange& replies, std::int64_t inflated_by = 0) const;

  /// Adds `tokens` to a window past the limit, or gives them back when negative. `window_counts`: the window has not
  /// ended, so a counter that is gone may be made anew. `once_id`, where given: done at most once under this name.
  void adjust(std::string_view user_id, std::int64_t minute, std::int64_t tokens, bool window_counts,
              std::string_view once_id, CommandBatch& batch) const;
  [[nodiscard]] Answer read_adjust(const Request& request, const ReplyRange& replies) const;

  [[nodiscard]] static Failure read_ping(const ReplyRange& replies);

  /// What to post when the outcome of a batch becomes known after its caller has gone: each charge that was made
  /// although the caller was told no is given back; each whose reply is lost for good gets its expiry again, which the
  /// connection may have swallowed. Empty when there is nothing to mend.
  [[nodiscard]] static CommandBatch mend_late_charges(const CommandBatch& batch, const BatchResult& result,
                                                      CallerWasTold told);

 private:
  [[nodiscard]] Answer decide(const Request& request, bool allowed, std::int64_t used, bool must_undo = false) const;

  std::int64_t limit_;
  std::string key_prefix_;
  Admission admission_;
};

}  // namespace tollgate::inline v0::decisions
