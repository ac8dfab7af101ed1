#include "clients/script_twins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "clients/budget_twin.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0 {
namespace {

constexpr std::int64_t kLargestDenied = 9007199254740990;    // as in admit.lua
constexpr std::int64_t kLargestAdjusted = 9007199254740992;  // as in adjust.lua

Reply recorded_answer(const std::string& record) {
  std::int64_t answer = 0;
  std::int64_t minute = 0;
  const char* const end = record.data() + record.size();
  const char* const space = std::from_chars(record.data(), end, answer).ptr;
  if (space != end) std::from_chars(space + 1, end, minute);
  return Reply::array({Reply::integer(answer), Reply::integer(minute)});
}

/// Checks, then adds: the new counter, or -1 - counter when denied.
Reply admit_once(Keyspace& keys, const Command& command) {
  const std::int64_t tokens = command.integers[0];
  const std::int64_t limit = command.integers[1];
  const Reply counter = keys.get(command.key);
  const auto held = counter.is_nil() ? std::optional<std::int64_t>{0} : counter.to_integer();
  if (!held) return Reply::error("ERR value is not an integer or out of range");
  const std::int64_t used = std::max<std::int64_t>(*held, 0);
  if (tokens > limit - used) return Reply::integer(-1 - std::min(used, kLargestDenied));

  Reply added = keys.incr_by(command.key, tokens);
  if (added.is_error()) return added;
  if (keys.ttl(command.key).to_integer() < 0) keys.expire(command.key, command.integers[2]);
  return Reply::integer(std::max<std::int64_t>(added.to_integer().value_or(0), 0));
}

Reply admit(Keyspace& keys, const Command& command, const Clock& /*clock*/) {
  if (command.keys.size() < 2) return admit_once(keys, command);

  const auto [record, minute, ttl] = std::tuple{command.keys[1], command.integers[3], command.integers[4]};
  if (const Reply first = keys.get(record); !first.is_nil()) return recorded_answer(first.text());
  // The record first: a full store must refuse before anything is charged.
  if (Reply room = keys.set(record, {}, ttl); room.is_error()) return room;
  Reply answer = admit_once(keys, command);
  if (answer.is_error()) {
    keys.unlink(record);
    return answer;
  }
  keys.set(record, fmt::format("{} {}", answer.to_integer().value_or(0), minute), ttl);
  return Reply::array({std::move(answer), Reply::integer(minute)});
}

/// Adds regardless of the limit, or gives back; returns the counter, or kNoCounter.
Reply adjust_once(Keyspace& keys, const Command& command) {
  const std::int64_t tokens = command.integers[0];
  const std::int64_t ttl = command.integers[1];
  if (keys.get(command.key).is_nil() && (tokens <= 0 || ttl <= 0)) return Reply::integer(kNoCounter);

  Reply added = keys.incr_by(command.key, tokens);
  if (added.is_error()) return added;
  const std::int64_t used = added.to_integer().value_or(0);
  if (used < 0 && tokens < 0) keys.incr_by(command.key, -used);
  if (ttl > 0 && keys.ttl(command.key).to_integer() < 0) keys.expire(command.key, ttl);
  return Reply::integer(std::clamp<std::int64_t>(used, 0, kLargestAdjusted));
}

Reply adjust(Keyspace& keys, const Command& command, const Clock& /*clock*/) {
  if (command.keys.size() < 2) return adjust_once(keys, command);

  if (!keys.get(command.keys[1]).is_nil()) return Reply::integer(kAlreadyAdjusted);
  if (Reply room = keys.set(command.keys[1], "1", command.integers[2]); room.is_error()) return room;
  Reply answer = adjust_once(keys, command);
  if (answer.is_error()) keys.unlink(command.keys[1]);
  return answer;
}

Reply budget(Keyspace& keys, const Command& command, const Clock& clock) {
  return run_budget_twin(keys, command, clock.now());
}

struct Twin {
  const Script* script;
  Reply (*run)(Keyspace&, const Command&, const Clock&);
};

constexpr std::array kTwins{Twin{&kAdmitScript, admit}, Twin{&kAdjustScript, adjust}, Twin{&kBudgetScript, budget}};

}  // namespace

Reply run_script_twin(Keyspace& keys, const Command& command, const Clock& clock) {
  for (const Twin& twin : kTwins) {
    if (twin.script != command.script) continue;
    return command.keys.empty() ? Reply::integer(kNoCounter) : twin.run(keys, command, clock);
  }
  return Reply::error("ERR this store has no twin of the script");
}

}  // namespace tollgate::inline v0
