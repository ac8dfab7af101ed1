/// budget.lua in a real Redis, at a time that the test sets: the script is called with a `redis` whose TIME is the
/// test's, and whose SET … PX keeps the state without expiry and notes the life.
/// Thread safety: one thread.
#pragma once

#include "budget_call.hpp"
#include "testing/resp_connection.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "transport/expected_reply.hpp"

namespace tollgate::inline v0::testing {

class BudgetLuaStore final : public BudgetStore {
 public:
  explicit BudgetLuaStore(const RedisServer& server);

  void put(const std::string& key, const std::string& value) override;
  void put_field(const std::string& key, const std::string& field, const std::string& value) override;
  void erase(const std::string& key);
  void clear();
  Reply run(const BudgetCall& call, std::int64_t now) override;
  Reply get(const std::string& key) override;
  std::optional<std::int64_t> life(const std::string& key) override;

  Reply command(const std::vector<std::string>& words) { return connection_.command(words); }

 private:
  RespConnection connection_;
  std::string sha1_;
  Serial serial_ = 65'000;                     // wraps around soon
  std::map<std::string, std::int64_t> lives_;  // that the last call wrote
};

}  // namespace tollgate::inline v0::testing
