#include "decisions/scripts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "clients/keyspace.hpp"
#include "script_sources.hpp"

namespace tollgate::inline v0::decisions {
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
Reply admit_once(Keyspace& keys, const ScriptArguments& arguments) {
  const std::int64_t tokens = arguments.integers[0];
  const std::int64_t limit = arguments.integers[1];
  const Reply counter = keys.get(arguments.key);
  const auto held = counter.is_nil() ? std::optional<std::int64_t>{0} : counter.to_integer();
  if (!held) return Reply::error("ERR value is not an integer or out of range");
  const std::int64_t used = std::max<std::int64_t>(*held, 0);
  if (tokens > limit - used) return Reply::integer(-1 - std::min(used, kLargestDenied));

  Reply added = keys.incr_by(arguments.key, tokens);
  if (added.is_error()) return added;
  if (keys.ttl(arguments.key).to_integer() < 0) keys.expire(arguments.key, arguments.integers[2]);
  return Reply::integer(std::max<std::int64_t>(added.to_integer().value_or(0), 0));
}

Reply admit(Keyspace& keys, const ScriptArguments& arguments) {
  if (arguments.second_key.empty()) return admit_once(keys, arguments);

  const auto [record, minute, ttl] = std::tuple{arguments.second_key, arguments.integers[3], arguments.integers[4]};
  if (const Reply first = keys.get(record); !first.is_nil()) return recorded_answer(first.text());
  // Its room first: a full store refuses before anything is charged.
  if (Reply room = keys.set(record, {}, ttl); room.is_error()) return room;
  Reply answer = admit_once(keys, arguments);
  if (answer.is_error()) {
    keys.unlink(record);
    return answer;
  }
  keys.set(record, fmt::format("{} {}", answer.to_integer().value_or(0), minute), ttl);
  return Reply::array({std::move(answer), Reply::integer(minute)});
}

/// Adds whatever the limit, or gives back: the counter, or kNoCounter.
Reply adjust_once(Keyspace& keys, const ScriptArguments& arguments) {
  const std::int64_t tokens = arguments.integers[0];
  const std::int64_t ttl = arguments.integers[1];
  if (keys.get(arguments.key).is_nil() && (tokens <= 0 || ttl <= 0)) return Reply::integer(kNoCounter);

  Reply added = keys.incr_by(arguments.key, tokens);
  if (added.is_error()) return added;
  const std::int64_t used = added.to_integer().value_or(0);
  if (used < 0 && tokens < 0) keys.incr_by(arguments.key, -used);
  if (ttl > 0 && keys.ttl(arguments.key).to_integer() < 0) keys.expire(arguments.key, ttl);
  return Reply::integer(std::clamp<std::int64_t>(used, 0, kLargestAdjusted));
}

Reply adjust(Keyspace& keys, const ScriptArguments& arguments) {
  if (arguments.second_key.empty()) return adjust_once(keys, arguments);

  if (!keys.get(arguments.second_key).is_nil()) return Reply::integer(kAlreadyAdjusted);
  if (Reply room = keys.set(arguments.second_key, "1", arguments.integers[2]); room.is_error()) return room;
  Reply answer = adjust_once(keys, arguments);
  if (answer.is_error()) keys.unlink(arguments.second_key);
  return answer;
}

}  // namespace

const Script kAdmitScript{"admit", script_sources::kAdmitSource, script_sources::kAdmitSha1, admit};
const Script kAdjustScript{"adjust", script_sources::kAdjustSource, script_sources::kAdjustSha1, adjust};

}  // namespace tollgate::inline v0::decisions
