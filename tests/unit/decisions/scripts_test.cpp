// The scripts' C++ twins, against the table that tests/integration runs against their Lua.
#include "decisions/scripts.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "clients/keyspace.hpp"
#include "script_cases.hpp"
#include "script_store.hpp"

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
    return script.twin(keys_, {key, second_key, integers});
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
  Keyspace keys_{100};
};

class ScriptTwin : public ::testing::TestWithParam<ScriptCase> {};

TEST_P(ScriptTwin, DoesWhatTheTableSays) {
  TwinStore store;
  testing::expect_case_holds(store, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Cases, ScriptTwin, ::testing::ValuesIn(testing::script_cases()), testing::script_case_name);

TEST(Scripts, AreNamedByTheSha1OfTheirText) {
  for (const Script* script : {&decisions::kAdmitScript, &decisions::kAdjustScript}) {
    EXPECT_EQ(script->sha1.size(), 40U) << script->name;
    EXPECT_EQ(script->sha1.find_first_not_of("0123456789abcdef"), std::string_view::npos) << script->name;
    EXPECT_TRUE(script->source.starts_with("-- ")) << script->name;
  }
  EXPECT_NE(decisions::kAdmitScript.sha1, decisions::kAdjustScript.sha1);
}

TEST(Scripts, AnswerOutOfMemoryWhenTheStoreIsFullAndDoNothing) {
  const std::vector<std::int64_t> integers{10, 100, 60, 29, 120};
  for (const Script* script : {&decisions::kAdmitScript, &decisions::kAdjustScript}) {
    for (const char* there : {"somebody else's", "counter"}) {  // room for neither; for the counter alone
      Keyspace keys{1};
      keys.set(there, "5", 60);
      const Reply reply = script->twin(keys, {"counter", "record", integers});
      EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kOutOfMemory) << script->name << ' ' << there;
      EXPECT_EQ(keys.get(there), Reply::string("5")) << script->name;
    }
    Keyspace keys{2};  // room for the record alone
    keys.set("somebody else's", "5", 60);
    const Reply reply = script->twin(keys, {"counter", "record", integers});
    EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kOutOfMemory) << script->name;
    EXPECT_TRUE(keys.get("record").is_nil()) << script->name;
  }
}

}  // namespace
}  // namespace tollgate
