/// What the charges to one window are judged by. Every class in this folder is the C++ of one section of `budget.lua`,
/// does the same to the bit, and has these functions:
///
///   static std::optional<T> load(const WindowTerms&, const StoredNumbers&)   nothing where the numbers are damaged
///   max()                 in force
///   used()                what counts now
///   excess(cost)          by how much the cost does not fit; 0 or less when it fits. The cost is at most max()
///   take(cost)            charges, whatever the max; whether anything changed
///   give_back(tokens)     to the window that the terms name, while it counts; whether anything changed
///   wait(excess)          ms until so much of used() does not count any more; the excess is 1 … used()
///   reset()               ms until nothing of used() counts any more
///   life()                ms for which the state must be kept
///   window()              the name of the window that was charged
///   store(numbers)        appends what load() takes
///
/// Time never goes backwards for a state: where the clock does, the latest window that was charged goes on.
/// Thread safety: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tollgate/window.hpp"

namespace tollgate::inline v0::windows {

struct WindowTerms {
  Window::Kind kind = Window::Kind::kFixed;
  std::int64_t length = 0;  ///< seconds, at least 1; not used for months
  std::int64_t max = 0;     ///< 0 … 2^53-1
  std::int64_t window = 0;  ///< the window that is given back to, as window() named it, or
                            ///< budget_script::kCurrentWindow; for leases, the lease's id
  std::int64_t now = 0;     ///< Unix time in ms, not negative
};

/// The numbers of a stored state behind its kind and length; nothing where there is no state.
using StoredNumbers = std::optional<std::span<const std::int64_t>>;

}  // namespace tollgate::inline v0::windows
