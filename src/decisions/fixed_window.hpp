/// The fixed-window algorithm: which commands a request takes, and what their replies mean. Pure: no I/O, lock or
/// clock. The blocking limiter over Redis and the one over `memory://` are this same algorithm.
/// Thread safety: immutable.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "decisions/keys.hpp"
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
  Failure failure;         ///< when set, `decision` is not meaningful
  bool must_undo = false;  ///< the charge was made and must be given back
  WindowId window;         ///< that was asked for or charged
  std::int64_t used = 0;   ///< the counter, without this request when it was denied
};

/// Where the record of an operation that is done once lies.
enum class RecordPlace : std::uint8_t {
  kOfUser,     ///< one key whatever the window, so that one script finds a record of an earlier window
  kOfCounter,  ///< next to the counter, in its hash slot: a Cluster runs no script on keys of different slots
};

/// A change of a counter that no limit stops: what is given back, settled or recorded.
struct Adjustment {
  std::string_view user_id;
  WindowId window;                ///< whose counter is changed
  std::int64_t tokens = 0;        ///< added; given back when negative
  bool window_counts = false;     ///< it has not ended, so a counter that is gone may be made anew
  std::string_view once_id = {};  ///< where given, done at most once under this name
  RecordPlace place = RecordPlace::kOfUser;
  WindowId record_window = {};  ///< of kOfCounter: beside which counter the record lies
};

/// What the FailurePolicy answered to a call whose replies came too late.
enum class PolicyAnswer : std::uint8_t { kAllowed, kDenied };

/// Whether the server runs scripts. Where it refuses, INCRBY and EXPIRE do what they can do of the same.
enum class Scripts : std::uint8_t { kRun, kRefused };

class FixedWindow {
 public:
  FixedWindow(std::int64_t limit, std::string key_prefix, Admission admission);

  [[nodiscard]] std::int64_t limit() const noexcept { return limit_; }
  [[nodiscard]] const std::string& key_prefix() const noexcept { return key_prefix_; }
  [[nodiscard]] Admission admission() const noexcept { return admission_; }
  [[nodiscard]] Key counter_key(std::string_view user_id, WindowId window) const noexcept;

  /// Denied without asking; `never_fits` when the request exceeds the limit itself, and so will every repetition.
  /// Written into `decision`, which must be as it was made: to copy one would take a twentieth of what all of it takes.
  void deny_locally(const Request& request, bool never_fits, Decision& decision) const;

  /// What to answer when Redis could not be asked and the FailurePolicy has decided. Throwing is the door's.
  [[nodiscard]] Decision fall_back(const Request& request, bool allowed, std::error_code failure) const;

  // These append commands to a batch, which may carry many requests, and read the replies to them. `inflated_by`: what
  // earlier charges of the same batch, denied and not yet undone, have put on the same counter; 0 or more. Reading
  // throws nothing: where memory is short, a failure comes without its texts.

  /// Charges request.tokens, 1 … limit.
  void charge(const Request& request, CommandBatch& batch, RecordPlace place = RecordPlace::kOfUser) const;
  [[nodiscard]] Answer read_charge(const Request& request, const ReplyRange& replies,
                                   std::int64_t inflated_by = 0) const noexcept;

  /// Reads the counter and charges nothing: allowed when request.tokens (0 or more) fit now.
  void look(const Request& request, CommandBatch& batch) const;
  [[nodiscard]] Answer read_look(const Request& request, const ReplyRange& replies,
                                 std::int64_t inflated_by = 0) const noexcept;

  /// Looks for records of the request's operation beside the counters of earlier windows: see RecordPlace::kOfCounter.
  /// `kind`: kCharge or kAdjust. Nothing is read when there is none: it is the first time.
  static constexpr std::string_view kCharge = "charge";
  static constexpr std::string_view kAdjust = "adjust";
  void find_records(const Request& request, std::string_view kind, CommandBatch& batch) const;
  [[nodiscard]] std::optional<Answer> read_records(const Request& request, const ReplyRange& replies) const noexcept;

  void adjust(const Adjustment& adjustment, CommandBatch& batch) const;
  /// Likewise by INCRBY and EXPIRE, without a script. What a reset, an eviction or the end of the window deletes in
  /// between is not noticed: the tokens given back then are granted once more in that window. `once_id` is not kept.
  void adjust_without_script(const Adjustment& adjustment, CommandBatch& batch) const;
  /// Of either: `scripts` says which.
  [[nodiscard]] Answer read_adjust(const Request& request, const ReplyRange& replies,
                                   Scripts scripts = Scripts::kRun) const noexcept;

  [[nodiscard]] static Failure read_ping(const ReplyRange& replies) noexcept;

  /// What to post when the outcome of a batch becomes known after its call has returned: each charge that was made
  /// although the call was denied is given back; each whose reply is lost for good gets its expiry again, which the
  /// connection may have swallowed. Empty when there is nothing to mend.
  [[nodiscard]] static CommandBatch mend_late_charges(const CommandBatch& batch, const BatchResult& result,
                                                      PolicyAnswer answer, Scripts scripts = Scripts::kRun);

 private:
  [[nodiscard]] Answer decide(const Request& request, bool allowed, std::int64_t used,
                              bool must_undo = false) const noexcept;

  std::int64_t limit_;
  std::string key_prefix_;
  Admission admission_;
};

}  // namespace tollgate::inline v0::decisions
