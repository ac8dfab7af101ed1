/// A request from its start to its outcome, as a state machine: it gives a batch, takes the replies, and gives the next
/// batch, or the outcome and what is left to do. It does no I/O, takes no lock, reads no clock and allocates nothing;
/// a limiter that blocks and one that is called back drive the same machine:
///
///     flow.start(pending);                         // step: kDone where no round trip is needed
///     if (pending.learns) flow.advise(pending, advice of the deny memory);
///     while (flow.next_batch({&pending, 1}, batch)) {
///       flow.resume({&pending, 1}, replies to batch);
///       carry out pending.effects; if it waits for the local share: flow.resume(pending, granted);
///       post flow.undo({&pending, 1}, …) when it is not empty
///     }
///
/// Many requests may go through together, in one batch each time: each is decided by itself.
/// Thread safety: DecisionFlow is immutable, a PendingRequest belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "decisions/deny_memory.hpp"
#include "decisions/fixed_window.hpp"
#include "tollgate/decision.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::decisions {

/// A decision and what is behind it.
struct Outcome {
  Decision decision;
  std::optional<Failure> failure = std::nullopt;  ///< why Redis could not be asked; then the decision is the policy's
  bool charged = false;  ///< the tokens stand in the counter, are about to, or must be assumed to
  WindowId window;       ///< the window that was charged
};

/// What the driver of the machine has to do besides, after each resume().
struct Effects {
  enum class Asked : std::uint8_t { kNothing, kLook, kCharge };
  enum class Lesson : std::uint8_t { kNothing, kLeft, kDenied, kAdmitted };

  /// Of Redis, within the limit: the FailurePolicy decides where that failed.
  Asked asked = Asked::kNothing;     ///< of Redis; the outcome's failure says that it could not be asked
  Lesson lesson = Lesson::kNothing;  ///< for the deny memory: which of its remember_… functions
  bool in_doubt = false;             ///< the tokens may stand in the counter although no reply came
  bool uses_share = false;           ///< Redis charged the tokens: they count against the local share
  std::int64_t left = 0;             ///< of Lesson::kLeft
};

struct PendingRequest {
  enum class Step : std::uint8_t {
    kLook,             ///< read the counter
    kFindRecord,       ///< look for the record of the operation in earlier windows
    kCharge,           ///< charge within the limit
    kRecord,           ///< charge past the limit
    kAwaitLocalShare,  ///< Redis could not be asked: the local share is to decide
    kDone,
  };

  Request request;
  Outcome* outcome = nullptr;  ///< where the outcome is written; as it was made until then
  Step step = Step::kDone;
  bool learns = false;       ///< the deny memory may answer, and is given the lessons
  bool looks_first = false;  ///< on its advice
  bool is_record = false;    ///< charged past the limit, by kRecord
  bool must_undo = false;    ///< charged and denied: part of the next undo()
  Scripts scripts = Scripts::kRun;
  RecordPlace record_place = RecordPlace::kOfUser;  ///< becomes kOfCounter when the server turns out to be a Cluster
  Effects effects = {};
  std::size_t first_command = 0;     ///< of its own, in the batch under way
  std::uint64_t memory_version = 0;  ///< kept for the driver: of the deny memory, when it gave its advice
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
      pending.step = PendingRequest::Step::kLook;
    } else {
      pending.step = first_charge_step(pending);
      pending.learns = request.operation_id.empty();  // another may have been admitted already: only Redis knows
    }
  }

  /// What the deny memory says of a request that learns.
  void advise(PendingRequest& pending, DenyMemory::Advice advice) const {
    if (advice == DenyMemory::Advice::kLook) {
      pending.looks_first = true;
      pending.step = PendingRequest::Step::kLook;
    } else if (advice == DenyMemory::Advice::kDeny) {
      pending.step = PendingRequest::Step::kDone;
      window_.deny_locally(pending.request, false, pending.outcome->decision);
    }
  }

  /// Begins a charge past the limit, of 1 token or more. Its outcome is a failure or none; no policy applies.
  void start_record(PendingRequest& pending) const;

  /// The next batch of all that are not done, appended to `batch`, which must be empty.
  enum class Needs : std::uint8_t { kNothing, kReplies, kRepliesAlsoLate };
  [[nodiscard]] Needs next_batch(std::span<PendingRequest> requests, CommandBatch& batch) const;

  /// Takes the result of the batch that next_batch() gave for the same requests.
  void resume(std::span<PendingRequest> requests, const BatchResult& result) const noexcept;

  /// Takes the local share's answer, of a request that waits for it.
  void resume(PendingRequest& pending, bool granted) const noexcept;

  /// Appends to `batch` what gives back the charges that were made and denied; once. Returns their tokens.
  std::int64_t undo(std::span<PendingRequest> requests, Scripts scripts, CommandBatch& batch) const;
  /// Their tokens, 0 when there is nothing to give back.
  [[nodiscard]] static std::int64_t tokens_to_undo(std::span<const PendingRequest> requests) noexcept;

 private:
  [[nodiscard]] static PendingRequest::Step first_charge_step(const PendingRequest& pending) noexcept {
    using Step = PendingRequest::Step;
    const bool once = !pending.request.operation_id.empty();
    if (once && pending.record_place == RecordPlace::kOfCounter) return Step::kFindRecord;
    return pending.is_record ? Step::kRecord : Step::kCharge;
  }
  void read_look(PendingRequest& pending, const ReplyRange& replies, std::int64_t inflated_by) const noexcept;
  void read_charge(PendingRequest& pending, const ReplyRange& replies, std::int64_t inflated_by) const noexcept;
  void read_records(PendingRequest& pending, const ReplyRange& replies) const noexcept;
  void read_record(PendingRequest& pending, const ReplyRange& replies) const noexcept;
  void learn_left(PendingRequest& pending, const Answer& answer) const noexcept;
  void learn_charge(PendingRequest& pending, const Answer& answer) const noexcept;
  [[nodiscard]] static bool finds_a_cluster(PendingRequest& pending, const Answer& answer) noexcept;
  void conclude(PendingRequest& pending, Answer& answer) const noexcept;
  void apply_policy(PendingRequest& pending, bool granted) const noexcept;

  FixedWindow window_;
  FailurePolicy on_failure_;
};

/// How many tokens are put where when a reservation ends. `charged`: the window that holds them; `tokens`: used less
/// what was charged. What is too much goes to the window that counts now; what was not used goes back to its own.
[[nodiscard]] inline Adjustment settlement(std::string_view user_id, WindowId charged, WindowId now,
                                           std::int64_t tokens, std::string_view once_id,
                                           RecordPlace place = RecordPlace::kOfUser) noexcept {
  return {.user_id = user_id,
          .window = tokens > 0 ? now : charged,
          .tokens = tokens,
          .window_counts = tokens > 0 || charged == now,
          .once_id = once_id,
          .place = place,
          .record_window = charged};
}

}  // namespace tollgate::inline v0::decisions
