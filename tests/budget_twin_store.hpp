/// A BudgetStore over the C++ twin of budget.lua.
/// Thread safety: one thread.
#pragma once

#include <string_view>

#include "budget_call.hpp"
#include "clients/keyspace.hpp"
#include "clients/script_twins.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "values/scripts.hpp"

namespace tollgate::inline v0::testing {

class BudgetTwinStore final : public BudgetStore {
 public:
  /// Keys expire by this time.
  void set_steady_time(Keyspace::Time now) { keys_.set_time(now); }

  void put(const std::string& key, const std::string& value) override { keys_.set(key, value, kPutSeconds); }
  void put_field(const std::string& key, const std::string& field, const std::string& value) override {
    keys_.hset(key, field, value);
  }
  void erase(const std::string& key) { keys_.unlink(key); }
  Reply run(const BudgetCall& call, std::int64_t now) override {
    clock_.set(std::chrono::system_clock::time_point{std::chrono::milliseconds{now}});
    const std::vector<std::string> names = call.keys();
    CommandBatch batch;
    batch.run(kBudgetScript, std::vector<std::string_view>(names.begin(), names.end()), call.integers());
    return run_script_twin(keys_, batch[0], clock_);
  }
  Reply get(const std::string& key) override { return keys_.get(key); }
  std::optional<std::int64_t> life(const std::string& key) override {
    const std::int64_t ms = keys_.pttl(key).to_integer().value_or(-2);
    return ms < 0 || ms == kPutSeconds * 1000 ? std::nullopt : std::optional{ms};
  }

 private:
  static constexpr std::int64_t kPutSeconds = 1'000'000'000;  // longer than any state lives

  ManualClock clock_;
  Keyspace keys_{100};
};

}  // namespace tollgate::inline v0::testing
