// BudgetFlow's commands.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "decisions/budget_flow.hpp"
#include "decisions/window.hpp"
#include "tollgate/detail/inline_array.hpp"
#include "values/hash_slot.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0::decisions {

namespace script = budget_script;

namespace {

static_assert(kMaxCharges == script::kMaxCharges);

constexpr std::string_view kChargeRecord = "charge";
constexpr std::string_view kAdjustRecord = "adjust";

/// The keys of one command, whose texts lie one behind the other.
class KeyTexts {
 public:
  void add(std::string_view key) {
    text_.append({key.data(), key.size()});
    ends_[size_++] = text_.size();
  }
  /// Valid until the next add().
  [[nodiscard]] std::span<const std::string_view> views() {
    std::size_t begin = 0;
    for (std::size_t i = 0; i < size_; ++i) {
      views_[i] = {text_.data() + begin, ends_[i] - begin};
      begin = ends_[i];
    }
    return {views_.data(), size_};
  }

 private:
  static constexpr std::size_t kMostKeys = 2 * kMaxCharges + 1;

  detail::InlineArray<char, 512> text_;
  std::array<std::size_t, kMostKeys> ends_{};
  std::array<std::string_view, kMostKeys> views_{};
  std::size_t size_ = 0;
};

}  // namespace

std::int64_t cost_of(const PendingBudget& pending, std::size_t part) noexcept {
  std::int64_t cost = 0;
  for (std::size_t i = 0; i < pending.charges.items().size(); ++i) {
    if (pending.parts.of_item[i] == part) cost += pending.charges.items()[i].cost;
  }
  return cost;
}

BudgetParts BudgetFlow::parts_of(const BudgetCharges& charges) const noexcept {
  BudgetParts parts;
  if (!options_.divides_by_slot) return parts;
  parts.count = 0;
  std::array<std::uint16_t, kMaxCharges> slots{};
  for (std::size_t i = 0; i < charges.items().size(); ++i) {
    const std::uint16_t slot = hash_slot(key_of(charges.items()[i]).view());
    std::size_t part = 0;
    while (part < parts.count && slots[part] != slot) ++part;
    if (part == parts.count) slots[parts.count++] = slot;
    parts.of_item[i] = static_cast<std::uint8_t>(part);
  }
  return parts;
}

void BudgetFlow::append_all(script::Mode mode, const BudgetCharges& charges, const BudgetParts& parts,
                            const Record& record, CommandBatch& batch) const {
  for (std::size_t part = 0; part < parts.count; ++part) {
    std::array<const BudgetItem*, kMaxCharges> items{};
    std::size_t size = 0;
    for (std::size_t i = 0; i < charges.items().size(); ++i) {
      if (parts.of_item[i] == part) items[size++] = &charges.items()[i];
    }
    append(mode, std::span{items}.first(size), record, batch);
  }
}

void BudgetFlow::append(script::Mode mode, std::span<const BudgetItem* const> items, const Record& record,
                        CommandBatch& batch) const {
  const bool has_record = !record.id.empty();
  const bool has_overrides = options_.overrides_in_redis;
  KeyTexts keys;
  for (const BudgetItem* item : items) keys.add(key_of(*item).view());
  for (const BudgetItem* item : items) {
    if (has_overrides) keys.add(BudgetKey::overrides(key_prefix_, item->subject).view());
  }
  if (has_record) keys.add(BudgetKey::operation(key_prefix_, items[0]->subject, record.kind, record.id).view());

  detail::InlineArray<std::int64_t, script::kHeader + 4 * script::kChargeIntegers> integers;
  integers.push_back(static_cast<std::int64_t>(mode));
  integers.push_back(static_cast<std::int64_t>(items.size()));
  integers.push_back((has_overrides ? script::kHasOverrides : 0) | (has_record ? script::kHasRecord : 0));
  integers.push_back(record.ttl.count());
  for (const BudgetItem* item : items) {
    const Limit& limit = limit_of(*item);
    const std::array<std::int64_t, script::kChargeIntegers> charge{static_cast<std::int64_t>(limit.window.kind()),
                                                                   item->max,
                                                                   limit.window.length().count(),
                                                                   item->cost,
                                                                   item->window,
                                                                   limit.shadow ? script::kShadow : 0};
    integers.append(charge);
  }
  batch.run(kBudgetScript, keys.views(), integers.view());
}

BudgetFlow::Needs BudgetFlow::next_batch(std::span<PendingBudget> requests, CommandBatch& batch) const {
  Needs needs = Needs::kNothing;
  for (PendingBudget& pending : requests) {
    pending.first_command = batch.size();
    if (pending.step != Step::kAsk) continue;
    const auto mode = pending.kind == Kind::kPeek     ? script::Mode::kPeek
                      : pending.kind == Kind::kCharge ? script::Mode::kCharge
                                                      : script::Mode::kAdjust;
    if (pending.kind == Kind::kCharge) {
      needs = Needs::kRepliesAlsoLate;
    } else if (needs == Needs::kNothing) {
      needs = Needs::kReplies;
    }
    Record record;
    if (!pending.operation_id.empty() && pending.kind != Kind::kPeek) {
      record = {pending.kind == Kind::kCharge ? kChargeRecord : kAdjustRecord, pending.operation_id, kOperationTtl};
    }
    // A repeated charge must not be given back once more, so one that is recorded is not divided.
    const bool is_whole = pending.kind == Kind::kCharge && !record.id.empty();
    pending.parts = is_whole ? BudgetParts{} : parts_of(pending.charges);
    append_all(mode, pending.charges, pending.parts, record, batch);
  }
  return needs;
}

std::int64_t BudgetFlow::amount_to_give_back(std::span<const PendingBudget> requests) noexcept {
  std::int64_t amount = 0;
  for (const PendingBudget& pending : requests) {
    for (std::size_t part = 0; part < pending.parts.count; ++part) {
      if ((pending.to_give_back >> part & 1U) != 0) amount += cost_of(pending, part);
    }
  }
  return amount;
}

std::int64_t BudgetFlow::give_back(std::span<PendingBudget> requests, CommandBatch& batch) const {
  const std::int64_t amount = amount_to_give_back(requests);
  for (PendingBudget& pending : requests) {
    const std::uint32_t given_back = std::exchange(pending.to_give_back, 0U);
    if (given_back == 0) continue;
    BudgetCharges charges;
    for (std::size_t i = 0; i < pending.charges.items().size(); ++i) {
      BudgetItem item = pending.charges.items()[i];
      if ((given_back >> pending.parts.of_item[i] & 1U) == 0 || item.cost == 0) continue;
      item.cost = -item.cost;
      item.window = item.state.window;
      charges.add_item(item);
    }
    if (!charges.items().empty()) append_all(script::Mode::kAdjust, charges, parts_of(charges), {}, batch);
  }
  return amount;
}

void BudgetFlow::adjust(const BudgetAdjustment& adjustment, CommandBatch& batch) const {
  std::array<char, 16> kind{};  // "adjust", of the second adjustment "adjust1", and so on
  std::copy(kAdjustRecord.begin(), kAdjustRecord.end(), kind.begin());
  char* end = kind.data() + kAdjustRecord.size();
  if (adjustment.round > 0) end = std::to_chars(end, kind.data() + kind.size(), adjustment.round).ptr;
  const Record record{{kind.data(), static_cast<std::size_t>(end - kind.data())},
                      adjustment.once_id,
                      adjustment.once_id.empty() ? std::chrono::seconds{0} : adjustment.record_ttl};
  append_all(script::Mode::kAdjust, *adjustment.charges, parts_of(*adjustment.charges), record, batch);
}

CommandBatch give_back_late(const CommandBatch& batch, const BatchResult& result) {
  CommandBatch corrections;
  for (std::size_t i = 0; i < batch.size() && result.ok() && i < result.replies.size(); ++i) {
    const Command command = batch[i];
    const std::vector<Reply>& numbers = result.replies[i].elements();
    const auto count =
        static_cast<std::size_t>(command.script == &kBudgetScript ? command.integers[script::kChargeCount] : 0);
    const bool was_charged = count > 0 &&
                             command.integers[script::kMode] == static_cast<std::int64_t>(script::Mode::kCharge) &&
                             (command.integers[script::kFlags] & script::kHasRecord) == 0 &&
                             numbers.size() == script::kStates + count * script::kStateIntegers &&
                             numbers[script::kAllowed].to_integer() == 1;
    if (!was_charged) continue;
    std::vector<std::string_view> keys(command.keys.size());
    for (std::size_t key = 0; key < keys.size(); ++key) keys[key] = command.keys[key];
    std::vector<std::int64_t> integers{command.integers.begin(), command.integers.end()};
    integers[script::kMode] = static_cast<std::int64_t>(script::Mode::kAdjust);
    for (std::size_t charge = 0; charge < count; ++charge) {
      std::int64_t* const fields = integers.data() + script::kHeader + charge * script::kChargeIntegers;
      const Reply& window = numbers[script::kStates + charge * script::kStateIntegers + script::kChargedWindow];
      fields[script::kCost] = -fields[script::kCost];
      fields[script::kWindow] = window.to_integer().value_or(0);
    }
    corrections.run(kBudgetScript, keys, integers);
  }
  return corrections;
}

std::int64_t amount_of(const Command& command) noexcept {
  std::int64_t amount = 0;
  for (std::size_t cost = script::kHeader + script::kCost; cost < command.integers.size();
       cost += script::kChargeIntegers) {
    amount += std::abs(command.integers[cost]);
  }
  return amount;
}

}  // namespace tollgate::inline v0::decisions
