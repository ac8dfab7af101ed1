/// The RefusalMemory of a BudgetLimiter behind locks. 4096 keys of at most 1.1 KB: 5 MB at most.
/// Thread safety: all of it; a forked child starts with an empty memory.
#pragma once

#include <chrono>
#include <cstddef>

#include "decisions/budget_flow.hpp"
#include "decisions/refusal_memory.hpp"
#include "doors/sharded.hpp"

namespace tollgate::inline v0 {

class LockedRefusalMemory {
 public:
  using Memory = decisions::RefusalMemory;
  using Time = Memory::Time;

  /// `flow` must outlive the memory.
  LockedRefusalMemory(const decisions::BudgetFlow& flow, std::chrono::milliseconds duration)
      : flow_(flow), duration_(duration), shards_([] { return Memory{kKeysPerShard}; }) {}

  /// Fills in what is remembered of each item, and the versions for remember().
  void look_up(decisions::BudgetCharges& charges, Time now) {
    for (std::size_t i = 0; i < charges.items().size(); ++i) {
      decisions::BudgetItem& item = charges.items()[i];
      with(item, [&](Memory& memory, const Memory::Key& key) {
        item.memory_version = memory.version(key);
        item.remembered = memory.find(key, item.cost, item.max, now);
      });
    }
  }

  /// Remembers the items that Redis refused. `asked_at`: when the request was sent. Does nothing when memory is short.
  void remember(const decisions::BudgetCharges& charges, Time asked_at) noexcept {
    for (std::size_t i = 0; i < charges.items().size(); ++i) {
      const decisions::BudgetItem& item = charges.items()[i];
      if (!item.state.refuses) continue;
      try {
        with(item, [&](Memory& memory, const Memory::Key& key) {
          memory.remember(key, flow_.refusal_of(item, asked_at, duration_), item.memory_version);
        });
      } catch (...) {  // a missing entry costs one round trip
      }
    }
  }

  void forget(const decisions::BudgetItem& item) {
    with(item, [](Memory& memory, const Memory::Key& key) { memory.forget(key); });
  }

 private:
  static constexpr std::size_t kKeysPerShard = 256;

  template <class Use>
  void with(const decisions::BudgetItem& item, Use use) {
    const decisions::BudgetKey text = flow_.key_of(item);
    const Memory::Key key{text.view()};
    shards_.with(key.hash, [&](Memory& memory) { use(memory, key); });
  }

  const decisions::BudgetFlow& flow_;
  const std::chrono::milliseconds duration_;
  Sharded<Memory> shards_;
};

}  // namespace tollgate::inline v0
