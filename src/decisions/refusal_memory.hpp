/// The refusals of a BudgetLimiter that one process remembers, so that a charge that cannot fit needs no round trip. It
/// never admits a charge; an entry that is lost costs one round trip. Unlike DenyMemory it knows no window, because the
/// windows are the server's: each refusal has its own end.
///
/// Pure: time is passed in. Thread safety: none; the limiter puts a lock around it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tollgate::inline v0::decisions {

/// Redis refused a cost.
struct Refusal {
  using Time = std::chrono::steady_clock::time_point;

  std::int64_t cost = 0;  ///< the smallest that does not fit before `until`
  std::int64_t max = 0;   ///< the limit in force; a larger one might admit the cost
  Time until;             ///< when Redis is asked again
  Time fits_at;           ///< when the cost fits, if nobody else spends meanwhile
  Time resets_at;         ///< when nothing that is counted counts any more
};

class RefusalMemory {
 public:
  using Time = Refusal::Time;

  /// A key in Redis with its hash, which is computed once for the memory and its callers.
  struct Key {
    explicit Key(std::string_view key_text) noexcept : text(key_text), hash(std::hash<std::string_view>{}(key_text)) {}

    std::string_view text;
    std::size_t hash;
  };

  /// Remembers at most `capacity` (1 or more) keys; keys that hash to the same entry replace each other.
  explicit RefusalMemory(std::size_t capacity) : entries_(capacity) {}

  /// The refusal that holds for `cost` under the limit `max`; nothing = Redis must be asked.
  [[nodiscard]] std::optional<Refusal> find(const Key& key, std::int64_t cost, std::int64_t max, Time now) const {
    const Entry& entry = place(key);
    const bool holds = cost >= entry.refusal.cost && max <= entry.refusal.max && now < entry.refusal.until;
    return holds && entry.key == key.text ? std::optional{entry.refusal} : std::nullopt;
  }

  /// Of the entry that a key has or would have; each forget() of it changes the version.
  [[nodiscard]] std::uint64_t version(const Key& key) const { return place(key).version; }

  /// Notes a refusal by a request that was sent when the entry had `version`. Ignored when the entry has another
  /// version: something may have been given back after Redis refused.
  void remember(const Key& key, const Refusal& refusal, std::uint64_t version) {
    Entry& entry = place(key);
    if (entry.version != version) return;
    entry.key.assign(key.text);  // keeps its capacity
    entry.refusal = refusal;
  }

  /// Something was given back, or the budget was reset.
  void forget(const Key& key) {
    Entry& entry = place(key);
    ++entry.version;
    if (entry.key == key.text) entry.refusal.until = Time::min();
  }

 private:
  struct Entry {
    std::string key;  // empty = free
    Refusal refusal = {.until = Time::min(), .fits_at = {}, .resets_at = {}};
    std::uint64_t version = 0;
  };

  [[nodiscard]] const Entry& place(const Key& key) const { return entries_[key.hash % entries_.size()]; }
  [[nodiscard]] Entry& place(const Key& key) { return entries_[key.hash % entries_.size()]; }

  std::vector<Entry> entries_;
};

}  // namespace tollgate::inline v0::decisions
