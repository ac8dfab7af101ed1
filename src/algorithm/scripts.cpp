#include "tollgate/algorithm/scripts.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

#include "script_sources.hpp"
#include "tollgate/redis/keyspace.hpp"

namespace tollgate::inline v0::algorithm {
namespace {

constexpr std::int64_t kLargestDenied = 9007199254740990;  // as in admit.lua

Reply recorded_answer(const std::string& record) {
  std::int64_t answer = 0;
  std::int64_t minute = 0;
  const char* const end = record.data() + record.size();
  const char* const space = std::from_chars(record.data(), end, answer).ptr;
  if (space != end) std::from_chars(space + 1, end, minute);
  return Reply::array({Reply::integer(answer), Reply::integer(minute)});
}

Reply admit(Keyspace& keys, const ScriptArguments& arguments) {
  const bool recorded = !arguments.second_key.empty();
  if (recorded) {
    const Reply first = keys.get(arguments.second_key);
    if (!first.is_nil()) return recorded_answer(first.text());
  }

  const std::int64_t tokens = arguments.integers[0];
  const std::int64_t limit = arguments.integers[1];
  const Reply counter = keys.get(arguments.key);
  const auto held = counter.is_nil() ? std::optional<std::int64_t>{0} : counter.to_integer();
  if (!held) return Reply::error("ERR value is not an integer or out of range");
  const std::int64_t used = std::max<std::int64_t>(*held, 0);

  std::int64_t answer = 0;
  if (tokens <= limit - used) {
    Reply added = keys.incr_by(arguments.key, tokens);
    if (added.is_error()) return added;
    answer = std::max<std::int64_t>(added.to_integer().value_or(0), 0);
    if (keys.ttl(arguments.key).to_integer() < 0) keys.expire(arguments.key, arguments.integers[2]);
  } else {
    answer = -1 - std::min(used, kLargestDenied);
  }

  if (!recorded) return Reply::integer(answer);
  const std::int64_t minute = arguments.integers[3];
  Reply stored =
      keys.set(arguments.second_key, std::to_string(answer) + ' ' + std::to_string(minute), arguments.integers[4]);
  if (stored.is_error()) return stored;
  return Reply::array({Reply::integer(answer), Reply::integer(minute)});
}

Reply adjust(Keyspace& keys, const ScriptArguments& arguments) {
  const bool recorded = !arguments.second_key.empty();
  if (recorded && !keys.get(arguments.second_key).is_nil()) return Reply::integer(kAlreadyAdjusted);

  const std::int64_t tokens = arguments.integers[0];
  const std::int64_t ttl = arguments.integers[1];
  std::int64_t used = kNoCounter;
  if (!keys.get(arguments.key).is_nil() || (tokens > 0 && ttl > 0)) {
    Reply added = keys.incr_by(arguments.key, tokens);
    if (added.is_error()) return added;
    used = added.to_integer().value_or(0);
    if (used < 0 && tokens < 0) keys.incr_by(arguments.key, -used);
    used = std::max<std::int64_t>(used, 0);
    if (ttl > 0 && keys.ttl(arguments.key).to_integer() < 0) keys.expire(arguments.key, ttl);
  }

  if (recorded) {
    Reply stored = keys.set(arguments.second_key, "1", arguments.integers[2]);
    if (stored.is_error()) return stored;
  }
  return Reply::integer(used);
}

}  // namespace

const Script kAdmitScript{"admit", script_sources::kAdmitSource, script_sources::kAdmitSha1, admit};
const Script kAdjustScript{"adjust", script_sources::kAdjustSource, script_sources::kAdjustSha1, adjust};

}  // namespace tollgate::inline v0::algorithm
