#include "budget_lua_store.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "values/scripts.hpp"

namespace tollgate::inline v0::testing {
namespace {

// ARGV: the time as TIME returns it, then the script's arguments. Returns the script's reply, and for each key the
// life.
constexpr const char* kHarness = R"lua(
local function budget(KEYS, ARGV, redis) %SCRIPT% end
local lives, time, arguments = {}, {ARGV[1], ARGV[2]}, {}
for i = 3, #ARGV do arguments[i - 2] = ARGV[i] end
local stand_in = {pcall = redis.pcall, error_reply = redis.error_reply}
function stand_in.call(name, ...)
  if name == 'TIME' then return time end
  local key, value, option, life = ...
  if name ~= 'SET' or option ~= 'PX' then return redis.call(name, ...) end
  lives[key] = life
  return redis.call('SET', key, value)
end
local result = {budget(KEYS, arguments, stand_in)}
for i, key in ipairs(KEYS) do result[i + 1] = lives[key] or '-1' end
return result
)lua";

}  // namespace

BudgetLuaStore::BudgetLuaStore(const RedisServer& server)
    : connection_(server.directory() + "/redis.sock", std::chrono::minutes{10}) {
  std::string script{kHarness};
  script.replace(script.find("%SCRIPT%"), 8, kBudgetScript.source);
  const Reply loaded = connection_.command({"SCRIPT", "LOAD", script});
  EXPECT_FALSE(loaded.is_error()) << loaded.text();
  sha1_ = loaded.text();
}

void BudgetLuaStore::put(const std::string& key, const std::string& value) { command({"SET", key, value}); }

void BudgetLuaStore::put_field(const std::string& key, const std::string& field, const std::string& value) {
  command({"HSET", key, field, value});
}

void BudgetLuaStore::erase(const std::string& key) { command({"DEL", key}); }

void BudgetLuaStore::clear() {
  command({"FLUSHALL"});
  lives_.clear();
}

Reply BudgetLuaStore::run(const BudgetCall& call, std::int64_t now) {
  const std::vector<std::string> keys = call.keys();
  const std::vector<std::int64_t> integers = call.integers();
  std::vector<std::string> words{"EVALSHA", sha1_, std::to_string(keys.size())};
  words.insert(words.end(), keys.begin(), keys.end());
  words.insert(words.end(), {std::to_string(now / 1000), std::to_string(now % 1000 * 1000 + 999)});
  for (const std::int64_t integer : integers) words.push_back(std::to_string(integer));
  words.push_back(std::to_string(++serial_));
  Reply answer = command(words);
  lives_.clear();
  if (answer.is_error()) return answer;

  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::int64_t life = answer.elements().at(i + 1).to_integer().value_or(-2);
    if (life >= 0) lives_[keys[i]] = life;
  }
  Reply reply = std::move(answer.elements().at(0));
  const std::string text = reply.text();
  EXPECT_TRUE(take_answer({Operation::kScript, keys[0], {}, integers, &kBudgetScript}, serial_, reply)) << text;
  return reply;
}

Reply BudgetLuaStore::get(const std::string& key) { return command({"GET", key}); }

std::optional<std::int64_t> BudgetLuaStore::life(const std::string& key) {
  const auto life = lives_.find(key);
  return life != lives_.end() ? std::optional{life->second} : std::nullopt;
}

}  // namespace tollgate::inline v0::testing
