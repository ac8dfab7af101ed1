/// The oracle's model of one counter. Told each command in the order in which Redis executed it, it says what the
/// caller must have been answered and what the counter holds. It shares nothing with the library, and stays within 40
/// lines. Thread safety: none.
#pragma once
#include <algorithm>
#include <cstdint>

namespace tollgate::tests {

struct Model {
  std::int64_t value = 0;  // with what is about to be undone
  std::int64_t admitted = 0, returned = 0, excess = 0;
  bool exists = false;
  int life = 0;  // a reset begins the next

  struct Answer {
    bool allowed;
    std::int64_t used;
  };  // NOLINT
  Answer look(std::int64_t tokens, std::int64_t limit) const {
    const std::int64_t used = std::max<std::int64_t>(value, 0);
    return {tokens <= limit - used, used};
  }
  Answer charge(std::int64_t tokens, std::int64_t limit) {
    move(tokens, false);
    if (value > limit) return {false, value - tokens};
    admitted += tokens;
    return {true, value};
  }
  void undo(std::int64_t tokens, int charged_in_life, bool plain) {  // DECRBY also makes a counter, and goes below zero
    if (exists || plain) returned -= move(-tokens, !plain);
    if (charged_in_life == life) returned -= tokens;  // it was never admitted in this life
  }
  void adjust(std::int64_t by, bool may_create) {
    if (exists || may_create) (by < 0 ? returned : excess) += by < 0 ? -move(by, true) : move(by, false);
  }
  std::int64_t move(std::int64_t by, bool stop_at_zero) {  // in its first life, what is given back was charged before
    const std::int64_t before = value;
    exists = true;
    value = stop_at_zero && life > 0 ? std::max<std::int64_t>(value + by, 0) : value + by;
    return value - before;
  }
};

}  // namespace tollgate::tests
