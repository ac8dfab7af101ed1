#include "clients/budget_twin.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "values/budget_script.hpp"
#include "values/parse_integer.hpp"
#include "values/windows/any_window.hpp"
#include "values/windows/numbers.hpp"

namespace tollgate::inline v0 {
namespace {

using namespace budget_script;
using windows::AnyWindow;
using windows::WindowTerms;

constexpr std::int64_t kLongestLife = 34'560'000'000;  // as in budget.lua

/// One call of the script.
struct Call {
  Mode mode;
  std::size_t charges;
  bool has_overrides;
  bool has_record;
  std::int64_t record_ttl;
  std::int64_t now;  // Unix time in ms
};

/// A charge, and the window that it is charged to.
struct LoadedCharge {
  WindowTerms terms;
  AnyWindow window;
  std::int64_t cost;
  std::int64_t status;
  std::int64_t retry_after;
};

Call read_call(const Command& command, std::chrono::system_clock::time_point now) {
  const auto& header = command.integers;
  const std::int64_t ms = std::chrono::floor<std::chrono::milliseconds>(now.time_since_epoch()).count();
  return {static_cast<Mode>(header[kMode]),
          static_cast<std::size_t>(header[kChargeCount]),
          (header[kFlags] & kHasOverrides) != 0,
          (header[kFlags] & kHasRecord) != 0,
          header[kRecordTtl],
          std::max<std::int64_t>(ms, 0)};
}

Reply damaged() { return Reply::error("ERR value is not an integer or out of range"); }

Reply array_of(std::span<const std::int64_t> numbers) {
  std::vector<Reply> elements;
  elements.reserve(numbers.size());
  for (const std::int64_t number : numbers) elements.push_back(Reply::integer(number));
  return Reply::array(std::move(elements));
}

/// The reply to an operation whose record is `first`.
Reply repeated(const Call& call, const std::string& first) {
  if (call.mode == Mode::kAdjust) return array_of(std::vector{kRepeated, call.now});
  const auto numbers = windows::parse_numbers(first);
  if (!numbers || numbers->size() != kStates + kStateIntegers * call.charges) return damaged();
  return array_of(*numbers);
}

/// Sets the max to that of the override, if there is one; else tells why not, in the status.
std::int64_t apply_override(const Reply& value, WindowTerms& terms) {
  if (value.is_nil()) return 0;
  const auto max = detail::parse_integer(value.text());
  if (value.is_error() || !max || *max > windows::kLargest || value.text().starts_with('-')) return kOverrideIgnored;
  terms.max = *max;
  return 0;
}

/// The charge with this index; or an error.
std::variant<LoadedCharge, Reply> load(Keyspace& keys, const Command& command, const Call& call, std::size_t index) {
  const auto integers = command.integers.subspan(kHeader + index * kChargeIntegers, kChargeIntegers);
  const std::string_view key = command.keys[index];
  WindowTerms terms{static_cast<Window::Kind>(integers[kKind]), integers[kLength], integers[kMax], integers[kWindow],
                    call.now};
  std::int64_t status = 0;
  if (call.has_overrides) {
    status = apply_override(keys.hget(command.keys[call.charges + index], key.substr(key.rfind(':') + 1)), terms);
  }

  Reply text = keys.get(key);
  if (text.is_error()) return text;
  auto window =
      windows::load_window(terms, text.is_nil() ? std::nullopt : std::optional<std::string_view>{text.text()});
  if (!window) return damaged();
  LoadedCharge charge{terms, *std::move(window), integers[kCost], status, 0};
  if (call.mode == Mode::kAdjust) return charge;

  std::visit(
      [&](const auto& any) {
        const std::int64_t excess = any.excess(charge.cost);
        if (excess <= 0) return;
        const bool never_fits = charge.cost > any.max();
        const bool shadow = (integers[kOptions] & kShadow) != 0;
        charge.status += (shadow ? kWouldRefuse : kRefuses) + (never_fits ? kNeverFits : 0);
        charge.retry_after = never_fits ? kNever : std::max<std::int64_t>(any.wait(excess), 1);
      },
      charge.window);
  return charge;
}

/// Charges or gives back; whether anything changed.
bool apply(LoadedCharge& charge) {
  return std::visit([&](auto& any) { return charge.cost < 0 ? any.give_back(-charge.cost) : any.take(charge.cost); },
                    charge.window);
}

void append_state(std::vector<std::int64_t>& reply, const LoadedCharge& charge) {
  std::visit(
      [&](const auto& any) {
        const std::int64_t remaining = std::max<std::int64_t>(any.max() - any.used(), 0);
        const std::int64_t reset_after = std::max<std::int64_t>(any.reset(), 0);
        reply.insert(reply.end(), {charge.status, any.max(), remaining, reset_after, charge.retry_after, any.window()});
      },
      charge.window);
}

std::int64_t life_of(const LoadedCharge& charge) {
  const std::int64_t life = std::visit([](const auto& any) { return any.life(); }, charge.window);
  return std::clamp<std::int64_t>(life, 1, kLongestLife);
}

}  // namespace

Reply run_budget_twin(Keyspace& keys, const Command& command, std::chrono::system_clock::time_point now) {
  const Call call = read_call(command, now);
  const std::string_view record = command.keys[command.keys.size() - 1];
  if (call.has_record) {
    Reply first = keys.get(record);
    if (first.is_error()) return first;
    if (!first.is_nil()) return repeated(call, first.text());
  }

  std::vector<LoadedCharge> charges;
  charges.reserve(call.charges);
  bool allowed = true;
  for (std::size_t i = 0; i < call.charges; ++i) {
    auto loaded = load(keys, command, call, i);
    if (auto* error = std::get_if<Reply>(&loaded)) return std::move(*error);
    charges.push_back(std::get<LoadedCharge>(std::move(loaded)));
    if ((charges.back().status & kRefuses) != 0) allowed = false;
  }

  std::vector<KeyWrite> writes;
  std::vector<std::int64_t> numbers{allowed ? 1 : 0, call.now};
  for (std::size_t i = 0; i < call.charges; ++i) {
    LoadedCharge& charge = charges[i];
    if (call.mode != Mode::kPeek && allowed && apply(charge)) {
      writes.push_back({command.keys[i], windows::text_of(charge.terms, charge.window), life_of(charge)});
    }
    append_state(numbers, charge);
  }
  if (call.has_record) {
    std::string text = call.mode == Mode::kAdjust ? "1" : fmt::format("{}", fmt::join(numbers, " "));
    writes.push_back({record, std::move(text), call.record_ttl * 1000});
  }
  Reply reply = array_of(numbers);
  if (Reply written = keys.set_all(writes); written.is_error()) return written;
  return reply;
}

}  // namespace tollgate::inline v0
