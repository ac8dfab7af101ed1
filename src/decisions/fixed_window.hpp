/// The fixed-window algorithm: which commands a request takes, and what their replies mean. Pure: no I/O, lock or
/// clock. The same algorithm runs over Redis and over `memory://`.
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

/// A request and its time. The arguments are valid: the public functions have checked them.
struct Request {
  std::string_view user_id;
  std::int64_t tokens = 0;
  std::chrono::system_clock::time_point now;
  std::string_view operation_id = {};  ///< empty = none
};

/// The result of the replies: a decision, or the failure because of which there is none.
struct Answer {
  Decision decision;
  Failure failure;         ///< when set, `decision` is not meaningful
  bool must_undo = false;  ///< the charge was made and must be given back
  WindowId window;         ///< the window that was read or charged
  std::int64_t used = 0;   ///< the counter, without this request when it was denied
};

/// The place of the record of an operation that is executed once.
enum class RecordPlace : std::uint8_t {
  kOfUser,     ///< one key for all windows, so that one script finds a record of an earlier window
  kOfCounter,  ///< next to the counter, in its hash slot: a Cluster runs no script on keys of different slots
};

/// A change of a counter regardless of the limit: an undo, a settlement or a record.
struct Adjustment {
  std::string_view user_id;
  WindowId window;                ///< whose counter is changed
  std::int64_t tokens = 0;        ///< added; given back when negative
  bool window_counts = false;     ///< the window has not ended, so a missing counter may be created
  std::string_view once_id = {};  ///< when not empty, executed at most once under this id
  RecordPlace place = RecordPlace::kOfUser;
  WindowId record_window = {};  ///< for kOfCounter: the window beside whose counter the record is
  std::chrono::seconds record_ttl = kOperationTtl;
};

/// The FailurePolicy's decision on a call whose replies came too late.
enum class PolicyAnswer : std::uint8_t { kAllowed, kDenied };

/// Whether the server runs scripts. Where it refuses, INCRBY and EXPIRE replace them, with the limits stated below.
enum class Scripts : std::uint8_t { kRun, kRefused };

class FixedWindow {
 public:
  FixedWindow(std::int64_t limit, std::string key_prefix, Admission admission);

  [[nodiscard]] std::int64_t limit() const noexcept { return limit_; }
  [[nodiscard]] const std::string& key_prefix() const noexcept { return key_prefix_; }
  [[nodiscard]] Admission admission() const noexcept { return admission_; }
  [[nodiscard]] Key counter_key(std::string_view user_id, WindowId window) const noexcept;
  /// Where records of the user's operations are. Beside a counter with a hash tag, which records of the user share, no
  /// other place is needed.
  [[nodiscard]] RecordPlace record_place(std::string_view user_id, bool is_cluster) const noexcept;

  /// Denies without a round trip; `never_fits` when the request exceeds the limit, so that every repetition would too.
  /// Writes into `decision`, which must be default-constructed: a copy would take 5 % of the time of such a denial.
  void deny_locally(const Request& request, bool never_fits, Decision& decision) const;

  /// The decision of the FailurePolicy when Redis gave no usable reply. Under kThrow, the caller throws.
  [[nodiscard]] Decision fall_back(const Request& request, bool allowed, std::error_code failure) const;

  // These functions append the commands of a request to a batch, which may hold many requests, and read their replies.
  // `inflated_by`: the tokens on the same counter of earlier charges in this batch that were denied and not yet undone;
  // 0 or more. Reading throws nothing: when memory is short, a failure has no texts.

  /// Charges request.tokens, 1 … limit.
  void charge(const Request& request, CommandBatch& batch, RecordPlace place = RecordPlace::kOfUser) const;
  [[nodiscard]] Answer read_charge(const Request& request, const ReplyRange& replies,
                                   std::int64_t inflated_by = 0) const noexcept;

  /// Reads the counter and charges nothing: allowed when request.tokens (0 or more) fit now.
  void peek(const Request& request, CommandBatch& batch) const;
  [[nodiscard]] Answer read_peek(const Request& request, const ReplyRange& replies,
                                 std::int64_t inflated_by = 0) const noexcept;

  /// Looks for records of the request's operation beside the counters of earlier windows: see RecordPlace::kOfCounter.
  /// `kind`: kCharge or kAdjust. Reading returns nothing when there is no record: the operation is new.
  static constexpr std::string_view kCharge = "charge";
  static constexpr std::string_view kAdjust = "adjust";
  void find_records(const Request& request, std::string_view kind, CommandBatch& batch) const;
  [[nodiscard]] std::optional<Answer> read_records(const Request& request, const ReplyRange& replies) const noexcept;

  void adjust(const Adjustment& adjustment, CommandBatch& batch) const;
  /// Likewise by INCRBY and EXPIRE, without a script. When a reset, an eviction or the end of the window deletes the
  /// counter in between, the tokens given back can be granted once more in that window. `once_id` is ignored.
  void adjust_without_script(const Adjustment& adjustment, CommandBatch& batch) const;
  /// Reads the reply to either.
  [[nodiscard]] Answer read_adjust(const Request& request, const ReplyRange& replies,
                                   Scripts scripts = Scripts::kRun) const noexcept;

  [[nodiscard]] static Failure read_ping(const ReplyRange& replies) noexcept;

  /// The batch to post when the outcome of `batch` becomes known after its call has returned. It gives back each charge
  /// that was executed although its call was denied, and sets the expiry of each charge whose reply will never come,
  /// because its EXPIRE may be lost too. Empty when neither is needed.
  [[nodiscard]] static CommandBatch correct_late_charges(const CommandBatch& batch, const BatchResult& result,
                                                         PolicyAnswer answer, Scripts scripts = Scripts::kRun);

 private:
  [[nodiscard]] Answer decide(const Request& request, bool allowed, std::int64_t used,
                              bool must_undo = false) const noexcept;

  std::int64_t limit_;
  std::string key_prefix_;
  Admission admission_;
};

}  // namespace tollgate::inline v0::decisions
