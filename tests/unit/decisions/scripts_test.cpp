// The scripts' C++ twins, against the table that tests/integration runs against their Lua.
#include "values/scripts.hpp"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "clients/keyspace.hpp"
#include "clients/script_twins.hpp"
#include "script_cases.hpp"
#include "script_store.hpp"
#include "tollgate/testing/manual_clock.hpp"

namespace tollgate {
namespace {

using testing::ScriptCase;
using testing::StoredKey;

class TwinStore final : public testing::ScriptStore {
 public:
  void put(const StoredKey& key) override {
    if (key.ttl) {
      keys_.set(key.key, key.value, *key.ttl);
    } else {
      keys_.incr_by(key.key, std::stoll(key.value));  // the only way to a key that never expires
    }
  }
  Reply run(const Script& script, const std::string& key, const std::string& second_key,
            const std::vector<std::int64_t>& integers) override {
    CommandBatch batch;
    std::vector<std::string_view> names{key};
    if (!second_key.empty()) names.push_back(second_key);
    batch.run(script, names, integers);
    return run_script_twin(keys_, batch[0], clock_);
  }
  Reply get(const std::string& key) override { return keys_.get(key); }
  Reply ttl(const std::string& key) override { return keys_.ttl(key); }
  std::vector<std::string> keys() override {
    std::vector<std::string> all;
    const Reply reply = keys_.scan("*");
    for (const Reply& key : reply.elements()[1].elements()) all.push_back(key.text());
    return all;
  }
  [[nodiscard]] std::int64_t slack() const override { return 0; }

 private:
  testing::ManualClock clock_;
  Keyspace keys_{100};
};

class ScriptTwin : public ::testing::TestWithParam<ScriptCase> {};

TEST_P(ScriptTwin, DoesWhatTheTableSays) {
  TwinStore store;
  testing::expect_case_holds(store, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, ScriptTwin, ::testing::ValuesIn(testing::script_cases()), testing::script_case_name);

TEST(Scripts, AreNamedByTheSha1OfTheirText) {
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    EXPECT_EQ(script->sha1.size(), 40U) << script->name;
    EXPECT_EQ(script->sha1.find_first_not_of("0123456789abcdef"), std::string_view::npos) << script->name;
    EXPECT_FALSE(script->source.starts_with("--")) << script->name << ": its comments are left out";
  }
  EXPECT_NE(kAdmitScript.sha1, kAdjustScript.sha1);
}

Reply run(const Script& script, Keyspace& keys, const std::vector<std::int64_t>& integers) {
  CommandBatch batch;
  batch.run(script, std::vector<std::string_view>{"counter", "record"}, integers);
  return run_script_twin(keys, batch[0], testing::ManualClock{});
}

TEST(Scripts, DoNothingWhenTheyAreCalledWithoutAKey) {
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    Keyspace keys{10};
    CommandBatch batch;
    batch.run(*script, std::span<const std::string_view>{}, std::span<const std::int64_t>{});
    EXPECT_EQ(run_script_twin(keys, batch[0], testing::ManualClock{}), Reply::integer(-1)) << script->name;
    EXPECT_EQ(keys.size(), 0U) << script->name;
  }
}

TEST(Scripts, WithoutATwinAreAnsweredWithAnError) {
  static constexpr Script kUnknown{"unknown", "return 1", "0000000000000000000000000000000000000000"};
  Keyspace keys{10};
  CommandBatch batch;
  batch.run(kUnknown, "key", {});
  EXPECT_TRUE(run_script_twin(keys, batch[0], testing::ManualClock{}).is_error());
}

TEST(Scripts, AnswerOutOfMemoryWhenTheStoreIsFullAndDoNothing) {
  const std::vector<std::int64_t> integers{10, 100, 60, 29, 120};
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    for (const char* there : {"somebody else's", "counter"}) {  // room for neither; for the counter alone
      Keyspace keys{1};
      keys.set(there, "5", 60);
      const Reply reply = run(*script, keys, integers);
      EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kOutOfMemory) << script->name << ' ' << there;
      EXPECT_EQ(keys.get(there), Reply::string("5")) << script->name;
    }
    Keyspace keys{2};  // room for the record alone
    keys.set("somebody else's", "5", 60);
    const Reply reply = run(*script, keys, integers);
    EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kOutOfMemory) << script->name;
    EXPECT_TRUE(keys.get("record").is_nil()) << script->name;
  }
}

}  // namespace
}  // namespace tollgate
