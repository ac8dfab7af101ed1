// What fixed, sliding and bucket windows promise, on any history and with any clock.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>
#include <map>

#include "values/windows/calendar.hpp"
#include "values/windows/numbers.hpp"
#include "window_history.hpp"

namespace tollgate {
namespace {

using testing::Admitted;
using testing::Step;
using testing::WindowHistory;
using windows::WindowTerms;

constexpr std::int64_t kStart = 1'767'225'615'123;

WindowTerms any_terms(Window::Kind kind, std::int64_t longest = 7200) {
  const auto length =
      *rc::gen::oneOf(rc::gen::element<std::int64_t>(1, 7, 60), rc::gen::inRange<std::int64_t>(1, longest));
  const auto max = *rc::gen::oneOf(rc::gen::inRange<std::int64_t>(0, 20), rc::gen::inRange<std::int64_t>(1, 100'000));
  return {kind, length, max, budget_script::kCurrentWindow, kStart};
}

// --- never more than max

void expect_max_per_window(const WindowTerms& terms, std::int64_t step_ms) {
  WindowHistory history{terms};
  run_steps(history, *testing::steps_of(step_ms, terms.max, true), [&] {
    std::map<std::int64_t, std::int64_t> sums;
    for (const Admitted& one : history.admitted()) sums[one.window] += one.tokens;
    for (const auto& [window, sum] : sums) RC_ASSERT(sum <= terms.max);
    RC_ASSERT(history.bytes() <= 64U);
  });
}

RC_GTEST_PROP(FixedWindow, AdmitsAtMostMaxPerWindowWithAnyClock, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kFixed);
  expect_max_per_window(terms, terms.length * 1000);
}

RC_GTEST_PROP(UtcMonth, AdmitsAtMostMaxPerMonthWithAnyClock, ()) {
  WindowTerms terms = any_terms(Window::Kind::kUtcMonth);
  terms.length = 0;
  expect_max_per_window(terms, std::int64_t{40} * 86'400'000);
}

RC_GTEST_PROP(SlidingWindow, AdmitsAtMostMaxInAnyIntervalWithAnyClock, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kSliding);
  WindowHistory history{terms};
  run_steps(history, *testing::steps_of(terms.length * 1000, terms.max, true), [&] {
    for (const Admitted& last : history.admitted()) {
      std::int64_t sum = 0;
      for (const Admitted& one : history.admitted()) {
        if (one.time > last.time - terms.length * 1000 && one.time <= last.time) sum += one.tokens;
      }
      RC_ASSERT(sum <= terms.max);
    }
    RC_ASSERT(history.bytes() <= 330U);
  });
}

/// What a bucket has used after a history, in 1/period of a token, had each charge been what is left of it; or nothing,
/// where that is more than max at any time.
std::optional<std::int64_t> replay(const std::vector<Admitted>& history, const WindowTerms& terms, std::int64_t now) {
  const std::int64_t period = terms.length * 1000;
  std::int64_t used = 0;
  std::int64_t time = 0;
  for (const Admitted& one : history) {
    used = std::max<std::int64_t>(used - std::min(one.time - time, 10 * period) * terms.max, 0) + one.tokens * period;
    time = one.time;
    if (used > terms.max * period) return std::nullopt;
  }
  return std::max<std::int64_t>(used - std::max<std::int64_t>(now - time, 0) * terms.max, 0);
}

RC_GTEST_PROP(TokenBucket, AdmitsAtMostMaxAndTheRefillWithAnyClock, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kTokenBucket);
  WindowHistory history{terms};
  run_steps(history, *testing::steps_of(terms.length * 1000, terms.max, true), [&] {
    RC_ASSERT(replay(history.admitted(), terms, history.terms().now).has_value());
    RC_ASSERT(history.bytes() <= 620U);
  });
}

RC_GTEST_PROP(TokenBucket, AdmitsAllThatAnExactBucketAdmits, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kTokenBucket);
  WindowHistory history{terms};
  const auto steps = *testing::steps_of(terms.length * 1000, terms.max, false);
  for (const Step& step : steps) {
    history.terms().now += step.elapsed;
    const std::int64_t used = *replay(history.admitted(), terms, history.terms().now);
    const bool fits = used + step.tokens * terms.length * 1000 <= terms.max * terms.length * 1000;
    RC_ASSERT(history.charge(step.tokens) == (fits && step.tokens <= terms.max));
  }
}

RC_GTEST_PROP(TokenBucket, GivesBackExactlyWhatASmallerChargeWouldHaveLeft, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kTokenBucket);
  RC_PRE(terms.max > 0);
  WindowHistory history{terms};
  auto steps = *testing::steps_of(terms.length * 1000 / 8, terms.max, false);
  if (steps.size() > windows::TokenBucket::kMaxMarks) steps.resize(windows::TokenBucket::kMaxMarks);
  for (const Step& step : steps) {
    history.terms().now += step.elapsed;
    history.charge(step.tokens);
  }
  RC_PRE(!history.admitted().empty());
  const auto index = *rc::gen::inRange<std::size_t>(0, history.admitted().size());
  RC_PRE(history.admitted()[index].time > history.terms().now - terms.length * 1000);

  std::vector<Admitted> smaller = history.admitted();
  const auto tokens = *rc::gen::inRange<std::int64_t>(0, smaller[index].tokens + 1);
  smaller[index].tokens -= tokens;
  history.give_back(index, tokens);
  // used() is rounded up, and so is the least since the charge down.
  const std::int64_t period = terms.length * 1000;
  const std::int64_t exact = *replay(smaller, terms, history.terms().now);
  RC_ASSERT(history.used() * period >= exact);
  RC_ASSERT(history.used() * period < exact + 2 * period);
}

// --- what it tells

void expect_waits_are_exact(const WindowTerms& terms, std::int64_t step_ms) {
  WindowHistory history{terms};
  run_steps(history, *testing::steps_of(step_ms, terms.max, false), [] {});
  const auto cost = *rc::gen::inRange<std::int64_t>(0, terms.max + 1);
  const std::int64_t now = history.terms().now;
  if (const std::int64_t excess = history.excess(cost); excess > 0) {
    const std::int64_t wait = history.wait(excess);
    RC_ASSERT(wait > 0);
    history.terms().now = now + wait;
    RC_ASSERT(history.excess(cost) <= 0);
    history.terms().now = now + wait - 1;
    RC_ASSERT(history.excess(cost) > 0);
    history.terms().now = now;
  }
  if (history.used() > 0) {
    const std::int64_t reset = history.reset();
    history.terms().now = now + reset;
    RC_ASSERT(history.used() == 0);
    history.terms().now = now + reset - 1;
    RC_ASSERT(history.used() > 0);
  }
}

RC_GTEST_PROP(FixedWindow, ItsWaitsAreExact, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kFixed);
  expect_waits_are_exact(terms, terms.length * 1000 / 4);
}

RC_GTEST_PROP(UtcMonth, ItsWaitsAreExact, ()) {
  WindowTerms terms = any_terms(Window::Kind::kUtcMonth);
  terms.length = 0;
  expect_waits_are_exact(terms, std::int64_t{7} * 86'400'000);
}

RC_GTEST_PROP(SlidingWindow, ItsWaitsAreExact, ()) {
  const WindowTerms terms = any_terms(Window::Kind::kSliding);
  expect_waits_are_exact(terms, terms.length * 1000);
}

RC_GTEST_PROP(TokenBucket, ItsWaitsAreExact, ()) {
  WindowTerms terms = any_terms(Window::Kind::kTokenBucket, *rc::gen::element<std::int64_t>(7200, 31'622'401));
  terms.max = *rc::gen::oneOf(rc::gen::just(terms.max), rc::gen::inRange<std::int64_t>(1, windows::kLargest + 1));
  expect_waits_are_exact(terms, terms.length * 1000 / 4);
}

// --- months

RC_GTEST_PROP(UtcMonth, IsThatOfTheCalendar, ()) {
  using std::chrono::floor;
  using std::chrono::milliseconds;
  using std::chrono::sys_days;
  const auto ms = *rc::gen::inRange<std::int64_t>(0, 100'000'000'000'000);  // to the year 5138
  const std::chrono::year_month_day date{
      floor<std::chrono::days>(std::chrono::sys_time<milliseconds>{milliseconds{ms}})};
  const std::int64_t year = int{date.year()};
  const std::int64_t month = (year - 1970) * 12 + static_cast<std::int64_t>(unsigned{date.month()}) - 1;
  RC_ASSERT(windows::month_of(ms) == month);
  const auto start = sys_days{date.year() / date.month() / 1};
  RC_ASSERT(windows::start_of_month(month) == duration_cast<milliseconds>(start.time_since_epoch()).count());
}

}  // namespace
}  // namespace tollgate
