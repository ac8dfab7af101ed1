/// The oracle's model of one counter. It is told every command in the order in which Redis executed it.
/// Thread safety: none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace tollgate::tests {

struct Model {
  std::int64_t value = 0;     // what Redis must hold
  std::int64_t held = 0;      // admitted - returned, in this life of the key
  std::int64_t forgiven = 0;  // charges of an earlier life that were undone in this one: may be granted again
  bool exists = false;
  std::multimap<std::pair<int, std::int64_t>, bool> owed;  // (connection, tokens) to undo -> charged in this life

  bool charge(int connection, std::int64_t tokens, std::int64_t limit, bool writes_to_deny, bool undoes_denial) {
    const bool fits = tokens <= limit - value;
    if (!fits && !writes_to_deny) return false;
    exists = true;
    value += tokens;
    if (fits) held += tokens;
    if (!fits && undoes_denial) owed.emplace(std::pair{connection, tokens}, true);
    return fits;
  }
  bool adjust(int connection, std::int64_t tokens, bool may_make) {  // whether it undid a denial
    const auto debt = owed.find({connection, -tokens});
    const bool undoes = debt != owed.end(), this_life = undoes && debt->second;
    if (undoes) owed.erase(debt);
    if (!exists && !may_make) return undoes;
    exists = true;
    const std::int64_t taken = tokens < 0 ? std::min(-tokens, value) : -tokens;
    value -= taken;
    if (!undoes && tokens < 0) held -= std::min(taken, held);
    if (undoes && !this_life) forgiven += taken;
    return undoes;
  }
  void reset() {
    value = held = forgiven = 0;
    exists = false;
    for (auto& charge : owed) charge.second = false;
  }
};

}  // namespace tollgate::tests
