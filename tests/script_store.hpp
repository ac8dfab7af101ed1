/// How a case of script_cases.hpp is run and checked, wherever scripts run.
/// Thread safety: one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "script_cases.hpp"
#include "tollgate/error.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate::inline v0::testing {

/// Where a case runs. Starts empty.
class ScriptStore {
 public:
  virtual ~ScriptStore() = default;
  virtual void put(const StoredKey& key) = 0;
  virtual Reply run(const Script& script, const std::string& key, const std::string& second_key,
                    const std::vector<std::int64_t>& integers) = 0;
  virtual Reply get(const std::string& key) = 0;
  virtual Reply ttl(const std::string& key) = 0;
  virtual std::vector<std::string> keys() = 0;
  /// Seconds that may pass while a case runs.
  [[nodiscard]] virtual std::int64_t slack() const = 0;
};

inline void expect_case_holds(ScriptStore& store, const ScriptCase& expected) {
  for (const StoredKey& key : expected.before) store.put(key);
  const Reply reply = store.run(*expected.script, kCounter, expected.second_key, expected.integers);
  if (expected.reply.is_error()) {
    ASSERT_TRUE(reply.is_error()) << ::testing::PrintToString(reply);
    EXPECT_EQ(failure_from_error_reply(reply.text()).code, failure_from_error_reply(expected.reply.text()).code)
        << reply.text();
  } else {
    EXPECT_EQ(reply, expected.reply);
  }
  std::vector<std::string> names;
  for (const StoredKey& key : expected.after) {
    names.push_back(key.key);
    EXPECT_EQ(store.get(key.key), bulk(key.value)) << key.key;
    const std::int64_t ttl = store.ttl(key.key).to_integer().value_or(-3);
    EXPECT_LE(ttl, key.ttl.value_or(-1)) << key.key;
    EXPECT_GE(ttl, key.ttl ? *key.ttl - store.slack() : -1) << key.key;
  }
  std::vector<std::string> found = store.keys();
  std::sort(found.begin(), found.end());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(found, names);
}

}  // namespace tollgate::inline v0::testing
