/// The keys that a BudgetLimiter reads and writes. `<prefix>:{<subject>}:` begins each of them, so the keys of a
/// subject share a hash slot; the prefix holds no brace. A subject with braces has another hash tag or none, but keys
/// of its own. Pure functions and values. Thread safety: as any value.
#pragma once

#include <string_view>

#include "decisions/key_text.hpp"

namespace tollgate::inline v0::decisions {

/// A key of a BudgetLimiter. No two functions, and no two lists of arguments, make the same key: names of limits are
/// not empty and hold no colon, so what stands behind the last colon tells them apart; none is `max`.
class BudgetKey {
 public:
  /// What `subject` has spent of a limit: `<prefix>:{<subject>}:<limit>`.
  [[nodiscard]] static BudgetKey state(std::string_view prefix, std::string_view subject,
                                       std::string_view limit) noexcept {
    BudgetKey key{prefix, subject};
    key.text_.append(limit);
    return key;
  }

  /// The hash of the overrides of a subject: `<prefix>:{<subject>}:max`.
  [[nodiscard]] static BudgetKey overrides(std::string_view prefix, std::string_view subject) noexcept {
    return state(prefix, subject, kOverrides);
  }
  static constexpr std::string_view kOverrides = "max";

  /// The record of an operation that is executed once; ends in a colon. `subject`: that of the first charge.
  [[nodiscard]] static BudgetKey operation(std::string_view prefix, std::string_view subject, std::string_view kind,
                                           std::string_view operation_id) noexcept {
    BudgetKey key{prefix, subject};
    key.text_.append_operation(kind, operation_id);
    return key;
  }

  [[nodiscard]] std::string_view view() const noexcept { return text_.view(); }

 private:
  BudgetKey(std::string_view prefix, std::string_view subject) noexcept {
    text_.append(prefix);
    text_.append(":{");
    text_.append(subject);
    text_.append("}:");
  }

  KeyText text_;
};

}  // namespace tollgate::inline v0::decisions
