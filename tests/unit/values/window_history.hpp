/// A window that is used as a script uses it: loaded, judged, changed, stored; and the history of what it admitted.
/// Thread safety: one thread.
#pragma once

#include <rapidcheck.h>

#include <algorithm>
#include <optional>
#include <ostream>
#include <string>
#include <variant>
#include <vector>

#include "values/budget_script.hpp"
#include "values/windows/any_window.hpp"

namespace tollgate::inline v0::testing {

struct Admitted {
  std::int64_t time = 0;  // of the state, in ms: never earlier than that of the charge before
  std::int64_t window = 0;
  std::int64_t tokens = 0;  // less what was given back
};

class WindowHistory {
 public:
  explicit WindowHistory(const windows::WindowTerms& terms) : terms_(terms) {}

  [[nodiscard]] windows::WindowTerms& terms() noexcept { return terms_; }
  [[nodiscard]] const std::vector<Admitted>& admitted() const noexcept { return admitted_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return text_ ? text_->size() : 0; }
  void keep(const windows::AnyWindow& window) { text_ = windows::text_of(terms_, window); }

  [[nodiscard]] windows::AnyWindow load() const {
    auto window = windows::load_window(terms_, text_);
    RC_ASSERT(window.has_value());
    return *std::move(window);
  }
  [[nodiscard]] std::int64_t used() const {
    return std::visit([](const auto& any) { return any.used(); }, load());
  }
  [[nodiscard]] std::int64_t excess(std::int64_t cost) const {
    return std::visit([&](const auto& any) { return any.excess(cost); }, load());
  }
  [[nodiscard]] std::int64_t wait(std::int64_t excess) const {
    return std::visit([&](const auto& any) { return any.wait(excess); }, load());
  }
  [[nodiscard]] std::int64_t reset() const {
    return std::visit([](const auto& any) { return any.reset(); }, load());
  }

  /// Whether it fits; then it is charged.
  bool charge(std::int64_t cost) {
    windows::AnyWindow window = load();
    return std::visit(
        [&](auto& any) {
          if (cost > any.max() || any.excess(cost) > 0) return false;
          if (!any.take(cost)) return true;
          time_ = std::max(time_, terms_.now);
          admitted_.push_back({time_, any.window(), cost});
          keep(window);
          return true;
        },
        window);
  }

  /// Gives back to a charge of the history, never more than is left of it.
  void give_back(std::size_t index, std::int64_t tokens) {
    Admitted& one = admitted_[index];
    terms_.window = one.window;
    windows::AnyWindow window = load();
    std::visit(
        [&](auto& any) {
          const std::int64_t before = any.used();
          if (!any.give_back(std::min(tokens, one.tokens))) return;
          const std::int64_t given = before - any.used();
          RC_ASSERT(given >= 0);
          RC_ASSERT(given <= one.tokens);
          RC_ASSERT(any.used() >= 0);
          one.tokens -= given;
          time_ = std::max(time_, terms_.now);
          keep(window);
        },
        window);
    terms_.window = budget_script::kCurrentWindow;
  }

 private:
  windows::WindowTerms terms_;
  std::optional<std::string> text_;
  std::vector<Admitted> admitted_;
  std::int64_t time_ = 0;
};

/// One step of a random history.
struct Step {
  std::int64_t elapsed = 0;  // ms; negative where the clock jumps back
  std::int64_t tokens = 0;
  bool gives_back = false;
  std::size_t charge = 0;  // which one is given back to, counted from the last
};

// The name is rapidcheck's.
// NOLINTNEXTLINE(readability-identifier-naming)
inline void showValue(const Step& step, std::ostream& out) {
  out << "{" << step.elapsed << " ms, " << (step.gives_back ? "give back " : "charge ") << step.tokens << " ("
      << step.charge << ")}";
}

/// Histories of a window of this length in ms; `backwards`: the clock may jump back.
inline rc::Gen<std::vector<Step>> steps_of(std::int64_t length_ms, std::int64_t max, bool backwards) {
  const auto elapsed = rc::gen::oneOf(rc::gen::just<std::int64_t>(0), rc::gen::inRange<std::int64_t>(0, 20),
                                      rc::gen::inRange<std::int64_t>(0, length_ms / 16 + 1),
                                      rc::gen::inRange<std::int64_t>(0, length_ms + 1),
                                      rc::gen::inRange<std::int64_t>(backwards ? -2 * length_ms : 0, length_ms + 1));
  const auto step =
      rc::gen::build<Step>(rc::gen::set(&Step::elapsed, elapsed),
                           rc::gen::set(&Step::tokens, rc::gen::oneOf(rc::gen::inRange<std::int64_t>(0, max + 2),
                                                                      rc::gen::inRange<std::int64_t>(0, max / 8 + 2))),
                           rc::gen::set(&Step::gives_back, rc::gen::arbitrary<bool>()),
                           rc::gen::set(&Step::charge, rc::gen::inRange<std::size_t>(0, 20)));
  return rc::gen::scale(4.0, rc::gen::container<std::vector<Step>>(step));
}

/// Runs the steps, and calls `check` after each that admitted or gave back something.
template <class Check>
void run_steps(WindowHistory& history, const std::vector<Step>& steps, Check check) {
  for (const Step& step : steps) {
    history.terms().now = std::max<std::int64_t>(history.terms().now + step.elapsed, 0);
    if (!step.gives_back) {
      history.charge(step.tokens);
    } else if (const std::size_t size = history.admitted().size(); step.charge < size) {
      history.give_back(size - 1 - step.charge, step.tokens);
    }
    check();
  }
}

}  // namespace tollgate::inline v0::testing
