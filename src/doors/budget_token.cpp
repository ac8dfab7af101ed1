#include "doors/budget_token.hpp"

#include <cstddef>
#include <cstdint>

#include "doors/signed_text.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0 {
namespace {

using decisions::HeldCharges;

Signature signature(const BudgetConfig& config) {
  constexpr std::size_t kMaxTokenBytes = 32'768;
  return {.start = "tb1.",
          .key_prefix = config.key_prefix,
          .secret = config.token_secret,
          .most_bytes = kMaxTokenBytes,
          .maker = "BudgetReservation::token()"};
}

bool is_amount(std::int64_t value) { return value >= 0 && value <= kMaxTokens; }

/// Without a secret a token can be forged, so its fields are checked too.
bool is_in_range(const HeldCharges& held) {
  bool valid = !held.items.empty() && held.items.size() <= kMaxCharges && !held.costs.empty() &&
               held.costs.size() <= kMaxCharges && !held.once_id.empty() && held.once_id.size() <= kMaxOperationIdBytes;
  for (const std::size_t item : held.item_of) valid = valid && item < held.items.size();
  for (const std::int64_t cost : held.costs) valid = valid && is_amount(cost);
  for (std::size_t i = 0; i < held.items.size(); ++i) {
    const HeldCharges::Item& item = held.items[i];
    valid = valid && !item.subject.empty() && item.subject.size() <= kMaxUserIdBytes && is_amount(item.lease) &&
            is_amount(item.settled) && item.parts.size() <= HeldCharges::kMostParts;
    for (const HeldCharges::Part& part : item.parts) valid = valid && is_amount(part.amount) && part.window >= 0;
    for (std::size_t other = 0; other < i; ++other) {
      valid = valid && (held.items[other].limit != item.limit || held.items[other].subject != item.subject);
    }
  }
  return valid;
}

}  // namespace

std::string encode_budget_token(const HeldCharges& held, const BudgetConfig& config) {
  FieldWriter fields;
  fields.text(held.once_id);
  fields.integer(held.made_at);
  fields.number(held.items.size(), 1);
  for (const HeldCharges::Item& item : held.items) {
    fields.text(config.limits[item.limit].name);
    fields.text(item.subject);
    fields.integer(item.lease);
    fields.integer(item.settled);
    fields.number(item.parts.size(), 1);
    for (const HeldCharges::Part& part : item.parts) {
      fields.integer(part.window);
      fields.integer(part.amount);
    }
  }
  fields.number(held.costs.size(), 1);
  for (std::size_t i = 0; i < held.costs.size(); ++i) {
    fields.number(held.item_of[i], 1);
    fields.integer(held.costs[i]);
  }
  return sign(fields, signature(config));
}

HeldCharges decode_budget_token(std::string_view token, const BudgetConfig& config) {
  const Signature expected = signature(config);
  FieldReader reader = read_signed(token, expected);
  HeldCharges held;
  held.once_id = reader.text();
  held.made_at = reader.integer();
  held.items.resize(static_cast<std::size_t>(reader.number(1)));
  for (HeldCharges::Item& item : held.items) {
    const std::string name = reader.text();
    const auto limit = decisions::find_limit(config.limits, name);
    if (!limit && reader.is_whole()) reject_signed(token, expected, "it names a limit that this limiter does not have");
    item.limit = limit.value_or(0);
    item.subject = reader.text();
    item.lease = reader.integer();
    item.settled = reader.integer();
    item.parts.resize(static_cast<std::size_t>(reader.number(1)));
    for (HeldCharges::Part& part : item.parts) {
      part.window = reader.integer();
      part.amount = reader.integer();
    }
  }
  const auto charges = static_cast<std::size_t>(reader.number(1));
  for (std::size_t i = 0; i < charges; ++i) {
    held.item_of.push_back(static_cast<std::size_t>(reader.number(1)));
    held.costs.push_back(reader.integer());
  }
  if (!reader.is_complete()) reject_signed(token, expected, kNoSuchFields);
  if (!is_in_range(held)) reject_signed(token, expected, "it is forged: a field is out of range");
  return held;
}

}  // namespace tollgate::inline v0
