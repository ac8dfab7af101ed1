/// One call of budget.lua, and where it can run at a time that the test sets.
/// Thread safety: one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tollgate/values/reply.hpp"
#include "tollgate/window.hpp"
#include "values/budget_script.hpp"

namespace tollgate::inline v0::testing {

struct BudgetCharge {
  std::string key;
  Window window = Window::fixed(std::chrono::seconds{60});
  std::int64_t max = 0;
  std::int64_t cost = 0;
  std::int64_t named = budget_script::kCurrentWindow;  // the window to give back to, or the lease
  bool shadow = false;
};

struct BudgetCall {
  budget_script::Mode mode = budget_script::Mode::kCharge;
  std::vector<BudgetCharge> charges = {};
  std::vector<std::string> overrides = {};  // the keys of the hashes, one for each charge; or none
  std::string record = {};
  std::int64_t record_ttl = 0;

  [[nodiscard]] std::vector<std::string> keys() const {
    std::vector<std::string> all;
    for (const BudgetCharge& charge : charges) all.push_back(charge.key);
    all.insert(all.end(), overrides.begin(), overrides.end());
    if (!record.empty()) all.push_back(record);
    return all;
  }

  [[nodiscard]] std::vector<std::int64_t> integers() const {
    namespace script = budget_script;
    std::vector<std::int64_t> all(script::kHeader + script::kChargeIntegers * charges.size());
    all[script::kMode] = static_cast<std::int64_t>(mode);
    all[script::kChargeCount] = static_cast<std::int64_t>(charges.size());
    all[script::kFlags] = (overrides.empty() ? 0 : script::kHasOverrides) + (record.empty() ? 0 : script::kHasRecord);
    all[script::kRecordTtl] = record_ttl;
    for (std::size_t i = 0; i < charges.size(); ++i) {
      const auto part = std::span{all}.subspan(script::kHeader + i * script::kChargeIntegers, script::kChargeIntegers);
      part[script::kKind] = static_cast<std::int64_t>(charges[i].window.kind());
      part[script::kMax] = charges[i].max;
      part[script::kLength] = charges[i].window.length().count();
      part[script::kCost] = charges[i].cost;
      part[script::kWindow] = charges[i].named;
      part[script::kOptions] = charges[i].shadow ? script::kShadow : 0;
    }
    return all;
  }
};

/// Where calls run. Starts empty; states do not expire by themselves.
class BudgetStore {
 public:
  virtual ~BudgetStore() = default;
  virtual void put(const std::string& key, const std::string& value) = 0;
  virtual void put_field(const std::string& key, const std::string& field, const std::string& value) = 0;
  /// At this Unix time in ms. The reply is that of a client: without the serial number.
  virtual Reply run(const BudgetCall& call, std::int64_t now) = 0;
  virtual Reply get(const std::string& key) = 0;
  /// How long what the last call wrote there lives, in ms; nothing when it wrote nothing.
  virtual std::optional<std::int64_t> life(const std::string& key) = 0;
};

}  // namespace tollgate::inline v0::testing
