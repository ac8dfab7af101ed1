/// A request from its start to its outcome, as a state machine: it returns a batch, takes the replies, and returns the
/// next batch, or the outcome and the remaining effects. It does no I/O, takes no lock, reads no clock and allocates
/// nothing, so that a blocking and an asynchronous limiter drive the same machine:
///
///     flow.start(pending);                         // step: kDone where no round trip is needed
///     if (pending.uses_deny_memory) flow.advise(pending, advice of the deny memory);
///     while (flow.next_batch({&pending, 1}, batch)) {
///       flow.resume({&pending, 1}, replies to batch);
///       carry out pending.effects; if it waits for the local share: flow.resume(pending, granted);
///       post flow.undo({&pending, 1}, …) when it is not empty
///     }
///
/// Several requests may share each batch; their decisions are independent.
/// Thread safety: DecisionFlow is immutable; one thread at a time may use a PendingRequest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "decisions/asked.hpp"
#include "decisions/deny_memory.hpp"
#include "decisions/fixed_window.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::decisions {

/// A decision, and the state of the charge that it is about.
struct Outcome {
  Decision decision;
  std::optional<Failure> failure = std::nullopt;  ///< why Redis gave no usable reply; then the FailurePolicy decided
  bool charged = false;                           ///< the tokens are in the counter, will be, or must be assumed to be
  WindowId window;                                ///< the window that was charged
};

/// What the driver of the machine must do after each resume(), besides the next batch.
struct Effects {
  using Asked = decisions::Asked;
  enum class MemoryUpdate : std::uint8_t { kNothing, kLeft, kDenied, kAdmitted };

  /// What was sent to Redis, other than a charge past the limit. When the outcome has a failure, the FailurePolicy
  /// decided instead of Redis.
  Asked asked = Asked::kNothing;
  MemoryUpdate memory_update = MemoryUpdate::kNothing;  ///< which of the deny memory's remember_… functions to call
  bool in_doubt = false;                                ///< the tokens may be in the counter although no reply came
  bool uses_share = false;  ///< Redis charged the tokens: they count against the local share
  std::int64_t left = 0;    ///< the argument of MemoryUpdate::kLeft
};

struct PendingRequest {
  enum class Step : std::uint8_t {
    kPeek,             ///< read the counter
    kFindRecord,       ///< look for the record of the operation in earlier windows
    kCharge,           ///< charge within the limit
    kRecord,           ///< charge past the limit
    kAwaitLocalShare,  ///< Redis gave no usable reply: the local share decides
    kDone,
  };

  Request request;
  Outcome* outcome = nullptr;  ///< where the outcome is written; unchanged until then
  Step step = Step::kDone;
  bool uses_deny_memory = false;  ///< the deny memory may decide it, and is updated by its replies
  bool peeks_first = false;       ///< on the deny memory's advice
  bool is_record = false;         ///< it charges past the limit, by kRecord
  bool must_undo = false;         ///< charged and denied: part of the next undo()
  Scripts scripts = Scripts::kRun;
  RecordPlace record_place = RecordPlace::kOfUser;  ///< kOfCounter once the server is found to be a Cluster
  Effects effects = {};
  std::size_t first_command = 0;     ///< the index of its first command in the batch in flight
  std::uint64_t memory_version = 0;  ///< kept for the driver: the deny memory's version when it gave its advice
};

class DecisionFlow {
 public:
  DecisionFlow(FixedWindow window, FailurePolicy on_failure) : window_(std::move(window)), on_failure_(on_failure) {}

  [[nodiscard]] const FixedWindow& window() const noexcept { return window_; }

  /// Begins a request whose `request` and `outcome` are set.
  void start(PendingRequest& pending) const {
    const Request& request = pending.request;
    if (request.tokens > window_.limit()) {
      window_.deny_locally(request, true, pending.outcome->decision);
    } else if (request.tokens == 0) {
      pending.step = PendingRequest::Step::kPeek;
    } else {
      pending.step = first_charge_step(pending);
      pending.uses_deny_memory = request.operation_id.empty();  // the operation may be recorded in Redis only
    }
  }

  /// Applies the advice of the deny memory to a request with `uses_deny_memory`.
  void advise(PendingRequest& pending, DenyMemory::Advice advice) const {
    if (advice == DenyMemory::Advice::kPeek) {
      pending.peeks_first = true;
      pending.step = PendingRequest::Step::kPeek;
    } else if (advice == DenyMemory::Advice::kDeny) {
      pending.step = PendingRequest::Step::kDone;
      window_.deny_locally(pending.request, false, pending.outcome->decision);
    }
  }

  /// Begins a charge past the limit, of 1 token or more. Its outcome is a failure or none; no policy applies.
  void start_record(PendingRequest& pending) const;

  /// Appends the next commands of all requests that are not done to `batch`, which must be empty.
  enum class Needs : std::uint8_t {
    kNothing,            ///< all requests are done
    kReplies,            ///< the replies
    kRepliesAlsoLate,    ///< and those that come late: see FixedWindow::correct_late_charges
    kRepliesRepairLate,  ///< likewise, with PolicyAnswer::kAllowed: the charge stands whenever it is executed
  };
  [[nodiscard]] Needs next_batch(std::span<PendingRequest> requests, CommandBatch& batch) const;

  /// Takes the result of the batch that next_batch() gave for the same requests.
  void resume(std::span<PendingRequest> requests, const BatchResult& result) const noexcept;

  /// Takes the local share's decision on a request at kAwaitLocalShare.
  void resume(PendingRequest& pending, bool granted) const noexcept;

  /// Appends to `batch` the undos of charges that were made and then denied; once. Returns their tokens.
  std::int64_t undo(std::span<PendingRequest> requests, Scripts scripts, CommandBatch& batch) const;
  /// The tokens that undo() would give back; 0 = none.
  [[nodiscard]] static std::int64_t tokens_to_undo(std::span<const PendingRequest> requests) noexcept;

 private:
  [[nodiscard]] static PendingRequest::Step first_charge_step(const PendingRequest& pending) noexcept {
    using Step = PendingRequest::Step;
    const bool once = !pending.request.operation_id.empty();
    if (once && pending.record_place == RecordPlace::kOfCounter) return Step::kFindRecord;
    return pending.is_record ? Step::kRecord : Step::kCharge;
  }
  void read_peek(PendingRequest& pending, const ReplyRange& replies, std::int64_t inflated_by) const noexcept;
  void read_charge(PendingRequest& pending, const ReplyRange& replies, std::int64_t inflated_by) const noexcept;
  void read_records(PendingRequest& pending, const ReplyRange& replies) const noexcept;
  void read_record(PendingRequest& pending, const ReplyRange& replies) const noexcept;
  void note_left(PendingRequest& pending, const Answer& answer) const noexcept;
  void note_charge(PendingRequest& pending, const Answer& answer) const noexcept;
  [[nodiscard]] static bool finds_a_cluster(PendingRequest& pending, const Answer& answer) noexcept;
  [[nodiscard]] static bool does_without_script(PendingRequest& pending, const Answer& answer) noexcept;
  void conclude(PendingRequest& pending, Answer& answer) const noexcept;
  void apply_policy(PendingRequest& pending, bool granted) const noexcept;

  FixedWindow window_;
  FailurePolicy on_failure_;
};

/// The end of a reservation.
struct Settlement {
  std::string_view user_id;
  WindowId charged;               ///< the window that was charged last
  WindowId charged_first;         ///< the window that was charged first
  std::int64_t tokens = 0;        ///< those used minus those charged
  std::string_view once_id = {};  ///< when not empty, shared by all holders of the reservation: only the first counts
};

/// Excess is charged to the current window; unused tokens are given back to the window that was charged.
[[nodiscard]] inline Adjustment adjustment(const Settlement& settlement, WindowId now, RecordPlace place) noexcept {
  const bool exceeds = settlement.tokens > 0;
  return {.user_id = settlement.user_id,
          .window = exceeds ? now : settlement.charged,
          .tokens = settlement.tokens,
          .window_counts = exceeds || settlement.charged == now,
          .once_id = settlement.once_id,
          .place = place,
          .record_window = settlement.charged_first,
          .record_ttl = kSettlementTtl};
}

/// Whether the record of another holder's settlement may have expired, so that an excess could be charged twice.
[[nodiscard]] inline bool is_too_late(const Settlement& settlement, WindowId now) noexcept {
  const bool is_shared_excess = settlement.tokens > 0 && !settlement.once_id.empty();
  return is_shared_excess && now.number - settlement.charged_first.number > kSettlementLife / kWindowLength;
}

}  // namespace tollgate::inline v0::decisions
