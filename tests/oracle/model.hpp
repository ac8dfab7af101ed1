/// The oracle's model of one counter, in 40 lines. Given each command in the order in which Redis executed it, it says
/// what the caller must have been answered and what the counter holds. It shares nothing with the library.
/// Thread safety: none.
#pragma once
#include <algorithm>
#include <cstdint>

namespace tollgate::tests {

struct Model {
  std::int64_t value = 0;  // with what is about to be undone
  std::int64_t admitted = 0, returned = 0, excess = 0;
  bool exists = false;
  int life = 0;  // a reset begins the next

  std::int64_t used() const { return std::max<std::int64_t>(value, 0); }
  bool fits(std::int64_t tokens, std::int64_t limit) const { return tokens <= limit - used(); }
  bool charge(std::int64_t tokens, std::int64_t limit) {  // denied, it is to be undone
    move(tokens, false);
    if (value <= limit) admitted += tokens;
    return value <= limit;
  }
  void undo(std::int64_t tokens, int charged_in_life, bool plain) {  // DECRBY makes counters, and goes below zero
    if (exists || plain) returned -= move(-tokens, !plain);
    if (charged_in_life == life) returned -= tokens;  // it was never admitted in this life
  }
  void adjust(std::int64_t by, bool may_create) {
    if (exists || may_create) (by < 0 ? returned : excess) += by < 0 ? -move(by, true) : move(by, false);
  }
  std::int64_t move(std::int64_t by, bool stop_at_zero) {  // a first life gives back only what it was charged
    const std::int64_t before = value;
    value = stop_at_zero && life > 0 ? std::max<std::int64_t>(value + by, 0) : value + by;
    exists = true;
    return value - before;
  }
  void reset() { *this = Model{.life = life + 1}; }
};

}  // namespace tollgate::tests
