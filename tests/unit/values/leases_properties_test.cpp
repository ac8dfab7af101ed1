// What slots promise, on any history and with any clock.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>

#include "values/windows/numbers.hpp"
#include "window_history.hpp"

namespace tollgate {
namespace {

using testing::Step;
using testing::WindowHistory;
using windows::WindowTerms;

constexpr std::int64_t kStart = 1'767'225'615'123;

WindowTerms any_leases() {
  const auto length = *rc::gen::inRange<std::int64_t>(1, 600);
  return {Window::Kind::kConcurrent, length, *rc::gen::inRange<std::int64_t>(1, 30), 1, kStart};
}

/// A model: lease -> slots and the end of the lease.
struct Held {
  std::int64_t slots = 0;
  std::int64_t end = 0;
};

RC_GTEST_PROP(Slots, AreWhatTheirLeasesHold, ()) {
  const WindowTerms terms = any_leases();
  WindowHistory history{terms};
  std::map<std::int64_t, Held> model;
  for (const Step& step : *testing::steps_of(terms.length * 1000, terms.max, false)) {
    std::int64_t& now = history.terms().now;
    now += step.elapsed;
    std::erase_if(model, [&](const auto& lease) { return lease.second.end <= now; });
    std::int64_t used = 0;
    for (const auto& [id, held] : model) used += held.slots;
    RC_ASSERT(history.used() == used);
    RC_ASSERT(used <= terms.max);

    const auto id = static_cast<std::int64_t>(step.charge) + 1;
    history.terms().window = id;
    const auto lease = model.find(id);
    const std::int64_t held = lease != model.end() ? lease->second.slots : 0;
    if (step.gives_back) {
      windows::AnyWindow window = history.load();
      std::get<windows::Leases>(window).give_back(step.tokens);
      history.keep(window);
      if (held > 0 && step.tokens < held) lease->second.slots -= step.tokens;
      if (held > 0 && step.tokens >= held) model.erase(lease);
    } else {
      const std::int64_t more = std::max<std::int64_t>(step.tokens - held, 0);
      const bool fits = step.tokens <= terms.max && ((held > 0 && more == 0) || more <= terms.max - used);
      RC_ASSERT(history.charge(step.tokens) == fits);
      if (fits && held + step.tokens > 0) model[id] = {held + more, now + terms.length * 1000};
    }
  }
  history.terms().now += terms.length * 1000;
  RC_ASSERT(history.used() == 0);
}

RC_GTEST_PROP(Slots, AreAtMostMaxWithAnyClock, ()) {
  const WindowTerms terms = any_leases();
  WindowHistory history{terms};
  for (const Step& step : *testing::steps_of(terms.length * 1000, terms.max, true)) {
    history.terms().now = std::max<std::int64_t>(history.terms().now + step.elapsed, 0);
    history.terms().window = static_cast<std::int64_t>(step.charge) + 1;
    history.charge(step.tokens);
    RC_ASSERT(history.used() <= terms.max);
    RC_ASSERT(history.bytes() <= 8U + 36U * 30U);
  }
}

RC_GTEST_PROP(Slots, WaitUntilEnoughLeasesHaveEnded, ()) {
  const WindowTerms terms = any_leases();
  WindowHistory history{terms};
  for (const Step& step : *testing::steps_of(terms.length * 200, terms.max, false)) {
    history.terms().now += step.elapsed;
    history.terms().window = static_cast<std::int64_t>(step.charge) + 1;
    history.charge(step.tokens);
  }
  history.terms().window = 98;
  history.charge(1);  // so that at least one slot is held
  history.terms().window = 99;
  const auto cost = *rc::gen::inRange<std::int64_t>(terms.max - history.used() + 1, terms.max + 1);
  const std::int64_t excess = history.excess(cost);
  RC_ASSERT(excess > 0);
  const std::int64_t wait = history.wait(excess);
  history.terms().now += wait;
  RC_ASSERT(history.excess(cost) <= 0);
  history.terms().now -= 1;
  RC_ASSERT(history.excess(cost) > 0);
}

TEST(Slots, OfAThousandLeasesAreBounded) {
  WindowTerms terms{Window::Kind::kConcurrent, 31'622'400, windows::kLargest, 0, kStart};
  WindowHistory history{terms};
  for (std::int64_t i = 0; i < 1100; ++i) {
    history.terms().window = windows::kLargest - i;
    EXPECT_EQ(history.charge(1), i < Window::kMaxSlots) << i;
  }
  EXPECT_LE(history.bytes(), 34'000U);
}

}  // namespace
}  // namespace tollgate
