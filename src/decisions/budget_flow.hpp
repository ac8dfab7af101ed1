/// A request of a BudgetLimiter from its start to its outcome, as a state machine that is driven as DecisionFlow is: it
/// returns a batch, takes the replies, and returns the outcome and what the driver must do besides. It does no I/O,
/// takes no lock and reads no clock:
///
///     flow.start(pending);                                // step: kDone where no round trip is needed
///     if (pending.uses_memory) { fill in `remembered` and `memory_version` of each item; flow.advise(pending, now); }
///     while (flow.next_batch({&pending, 1}, batch) …) {
///       flow.resume({&pending, 1}, replies to batch);
///       post flow.give_back({&pending, 1}, …) when it is not empty
///       carry out what pending says; if it waits for the local share: flow.resume(pending, granted);
///     }
///
/// Several requests may share each batch; their decisions are independent. Each is one script, which charges all or
/// nothing; what is executed after its call has returned is given back, see give_back_late(). On a Cluster a request is
/// one script for each hash slot of its keys; where one of them refuses or fails, the others are given back.
/// Thread safety: BudgetFlow is immutable; one thread at a time may use a PendingBudget.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "decisions/asked.hpp"
#include "decisions/budget_charges.hpp"
#include "decisions/budget_keys.hpp"
#include "tollgate/budget_config.hpp"
#include "tollgate/budget_decision.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"
#include "values/budget_script.hpp"

namespace tollgate::inline v0::decisions {

/// A decision, and the state of the charges that it is about.
struct BudgetOutcome {
  BudgetDecision decision;
  std::optional<Failure> failure = std::nullopt;  ///< why Redis gave no usable reply; then the FailurePolicy decided
  bool charged = false;                           ///< the costs are counted, will be, or must be assumed to be
  bool windows_are_known = false;                 ///< charged by a reply: the state of each item names the window
  std::chrono::milliseconds server_time{0};       ///< Unix time of the server; 0 = it gave no reply
};

/// Which script of a request charges which item: one for all, or on a Cluster one for each hash slot.
struct BudgetParts {
  std::array<std::uint8_t, kMaxCharges> of_item{};
  std::size_t count = 1;
};

struct PendingBudget {
  enum class Kind : std::uint8_t {
    kPeek,
    kCharge,
    kRecord,  ///< charges past the limits; no policy applies
  };
  enum class Step : std::uint8_t { kAsk, kAwaitLocalShare, kDone };

  BudgetCharges charges;
  Kind kind = Kind::kCharge;
  std::string_view operation_id = {};  ///< empty = none
  BudgetOutcome* outcome = nullptr;    ///< where the outcome is written; unchanged until then
  Step step = Step::kDone;
  bool uses_memory = false;  ///< the deny memory may decide it, and is updated by its replies
  BudgetParts parts = {};
  std::size_t first_command = 0;  ///< the index of its first command in the batch in flight; there is one for each part

  // What the driver must do after resume(), by the latest reply; the items have the states of their limits.
  Asked asked = Asked::kNothing;   ///< what was sent; when the outcome has a failure, the FailurePolicy decided instead
  bool answered = false;           ///< the items have states: look for thresholds, damaged overrides, shadow refusals
  bool in_doubt = false;           ///< costs may be counted although no reply came
  std::int64_t doubtful = 0;       ///< the sum of these costs
  std::uint32_t to_give_back = 0;  ///< bit k: part k was charged, though the request was not; for the next give_back()
  bool uses_share = false;         ///< Redis counted the costs: they are taken from the local share
};

/// The sum of the costs of one part.
[[nodiscard]] std::int64_t cost_of(const PendingBudget& pending, std::size_t part) noexcept;

/// A change of budgets regardless of their limits: a settlement, or a grant of the local share.
struct BudgetAdjustment {
  const BudgetCharges* charges = nullptr;  ///< costs may be negative: given back to the item's window
  std::string_view once_id = {};           ///< when not empty, executed at most once under this id
  std::size_t round = 0;                   ///< which of several adjustments under one once_id this is
  std::chrono::seconds record_ttl{0};
};

class BudgetFlow {
 public:
  struct Options {
    FailurePolicy on_failure = FailurePolicy::kThrow;
    bool overrides_in_redis = false;
    bool divides_by_slot = false;  ///< as RedisClient's function of that name
  };

  BudgetFlow(std::vector<Limit> limits, std::string key_prefix, Options options)
      : limits_(std::move(limits)), key_prefix_(std::move(key_prefix)), options_(options) {}

  [[nodiscard]] std::span<const Limit> limits() const noexcept { return limits_; }
  [[nodiscard]] const Limit& limit_of(const BudgetItem& item) const noexcept { return limits_[item.limit]; }
  [[nodiscard]] BudgetKey key_of(const BudgetItem& item) const noexcept {
    return BudgetKey::state(key_prefix_, item.subject, limit_of(item).name);
  }

  /// Begins a request whose charges, kind, operation_id and outcome are set.
  void start(PendingBudget& pending) const noexcept;

  /// Refuses a request with `uses_memory` when a refusal of one of its items is remembered.
  void advise(PendingBudget& pending, Refusal::Time now) const noexcept;

  /// Appends the commands of all requests that are not done to `batch`, which must be empty.
  enum class Needs : std::uint8_t {
    kNothing,          ///< all requests are done
    kReplies,          ///< the replies
    kRepliesAlsoLate,  ///< and those that come late: see give_back_late()
  };
  Needs next_batch(std::span<PendingBudget> requests, CommandBatch& batch) const;

  /// Takes the result of the batch that next_batch() gave for the same requests.
  void resume(std::span<PendingBudget> requests, const BatchResult& result) const noexcept;

  /// Takes the local share's decision on a request at kAwaitLocalShare.
  void resume(PendingBudget& pending, bool granted) const noexcept { apply_policy(pending, granted); }

  /// Appends to `batch` what gives back the parts of requests that were charged although the request was not; once.
  /// Returns the sum of their costs.
  std::int64_t give_back(std::span<PendingBudget> requests, CommandBatch& batch) const;
  /// What give_back() would return; 0 = nothing is to be given back.
  [[nodiscard]] static std::int64_t amount_to_give_back(std::span<const PendingBudget> requests) noexcept;

  void adjust(const BudgetAdjustment& adjustment, CommandBatch& batch) const;

  /// What an item refuses, by its latest reply to a request that was sent at `asked_at`; at most `duration` are
  /// remembered.
  [[nodiscard]] Refusal refusal_of(const BudgetItem& item, Refusal::Time asked_at,
                                   std::chrono::milliseconds duration) const noexcept;

 private:
  using Kind = PendingBudget::Kind;
  using Step = PendingBudget::Step;

  /// Of an operation that is executed once; `id` is empty where there is none. Each part has a record of its own.
  struct Record {
    std::string_view kind = {};
    std::string_view id = {};
    std::chrono::seconds ttl{0};
  };

  [[nodiscard]] BudgetParts parts_of(const BudgetCharges& charges) const noexcept;
  void append_all(budget_script::Mode mode, const BudgetCharges& charges, const BudgetParts& parts,
                  const Record& record, CommandBatch& batch) const;
  void append(budget_script::Mode mode, std::span<const BudgetItem* const> items, const Record& record,
              CommandBatch& batch) const;
  struct PartAnswer {
    Failure failure;
    bool allowed = false;
    bool repeats = false;  ///< an adjustment that was made before
  };

  void read(PendingBudget& pending, const BatchResult& result, std::size_t end) const noexcept;
  [[nodiscard]] PartAnswer read_part(PendingBudget& pending, std::size_t part,
                                     const ReplyRange& replies) const noexcept;
  void decide(PendingBudget& pending, bool allowed) const noexcept;
  void fail(PendingBudget& pending, Failure failure) const noexcept;
  void apply_policy(PendingBudget& pending, bool granted) const noexcept;
  [[nodiscard]] bool is_redis_alone_to_decide(const PendingBudget& pending) const noexcept {
    return options_.overrides_in_redis || pending.kind != PendingBudget::Kind::kCharge || !pending.operation_id.empty();
  }
  [[nodiscard]] LimitState unknown_state(const BudgetItem& item) const noexcept;

  std::vector<Limit> limits_;
  std::string key_prefix_;
  Options options_;
};

/// The batch to post when the outcome of `batch` becomes known after its call has returned with a refusal: it gives
/// back what was charged, to the windows that the replies name. A charge with a record stays, because its caller may
/// repeat it. Empty when nothing was charged.
[[nodiscard]] CommandBatch give_back_late(const CommandBatch& batch, const BatchResult& result);

/// The sum of the amounts by which a budget script changes its budgets.
[[nodiscard]] std::int64_t amount_of(const Command& command) noexcept;

}  // namespace tollgate::inline v0::decisions
