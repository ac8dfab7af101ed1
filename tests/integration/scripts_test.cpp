// The scripts' Lua in a real Redis, against the table that tests/unit runs against their C++ twins.
#include "values/scripts.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "script_cases.hpp"
#include "script_store.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "transport/expected_reply.hpp"

namespace tollgate {
namespace {

using testing::RedisServer;
using testing::ScriptCase;
using testing::StoredKey;

class LuaStore final : public testing::ScriptStore {
 public:
  explicit LuaStore(const RedisServer& server) : server_(server) {}

  void put(const StoredKey& key) override {
    std::vector<std::string> words{"SET", key.key, key.value};
    if (key.ttl) words.insert(words.end(), {"EX", std::to_string(*key.ttl)});
    ASSERT_FALSE(server_.command(words).is_error());
  }
  Reply run(const Script& script, const std::string& key, const std::string& second_key,
            const std::vector<std::int64_t>& integers) override {
    std::vector<std::string> words{"EVAL", std::string{script.source}, second_key.empty() ? "1" : "2", key};
    if (!second_key.empty()) words.push_back(second_key);
    for (const std::int64_t integer : integers) words.push_back(std::to_string(integer));
    words.push_back(std::to_string(++serial_));
    Reply reply = server_.command(words);
    const std::string text = reply.text();
    EXPECT_TRUE(take_answer({Operation::kScript, key, {}, integers, &script}, serial_, reply)) << text;
    return reply;
  }
  Reply get(const std::string& key) override { return server_.command({"GET", key}); }
  Reply ttl(const std::string& key) override { return server_.command({"TTL", key}); }
  std::vector<std::string> keys() override {
    std::vector<std::string> all;
    const Reply reply = server_.command({"KEYS", "*"});
    for (const Reply& key : reply.elements()) all.push_back(key.text());
    return all;
  }
  [[nodiscard]] std::int64_t slack() const override { return 5; }

 private:
  const RedisServer& server_;
  Serial serial_ = 4711;
};

class ScriptsOnRedis : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = std::make_unique<RedisServer>(); }
  static void TearDownTestSuite() { server_.reset(); }
  // Some cases hold keys that never expire: none is left behind.
  void TearDown() override { server_->command({"FLUSHALL"}); }

  static std::unique_ptr<RedisServer> server_;
};

std::unique_ptr<RedisServer> ScriptsOnRedis::server_;

TEST_F(ScriptsOnRedis, DoWhatTheTableSays) {
  for (const ScriptCase& script_case : testing::script_cases()) {
    SCOPED_TRACE(std::string{script_case.script->name} + ": " + script_case.name);
    server_->command({"FLUSHALL"});
    LuaStore store{*server_};
    testing::expect_case_holds(store, script_case);
  }
}

TEST_F(ScriptsOnRedis, HaveTheSha1ThatTheClientSends) {
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    EXPECT_EQ(server_->command({"SCRIPT", "LOAD", std::string{script->source}}).text(), script->sha1) << script->name;
  }
}

TEST_F(ScriptsOnRedis, DoNothingWhenTheyAreCalledWithoutAKey) {
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    EXPECT_EQ(server_->command({"EVAL", std::string{script->source}, "0", "17"}).text(), "-1 17") << script->name;
    EXPECT_EQ(server_->command({"EVALSHA", std::string{script->sha1}, "0", "18"}).text(), "-1 18") << script->name;
  }
  EXPECT_TRUE(LuaStore{*server_}.keys().empty());
}

TEST_F(ScriptsOnRedis, AnswerWrongTypeForAKeyThatIsNoString) {
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    server_->command({"FLUSHALL"});
    server_->command({"RPUSH", testing::kCounter, "element"});
    LuaStore store{*server_};
    const Reply reply = store.run(*script, testing::kCounter, testing::kRecord, {10, 100, 60, 29, 120});
    EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kWrongType) << script->name << ": " << reply.text();
    EXPECT_TRUE(store.get(testing::kRecord).is_nil()) << script->name;
    EXPECT_EQ(server_->command({"LLEN", testing::kCounter}).to_integer(), 1) << script->name;
  }
}

TEST_F(ScriptsOnRedis, AnswerOutOfMemoryAtMaxmemoryAndWriteNothing) {
  server_->command({"CONFIG", "SET", "maxmemory", "1"});
  LuaStore store{*server_};
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    const Reply reply = store.run(*script, testing::kCounter, testing::kRecord, {10, 100, 60, 29, 120});
    EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kOutOfMemory) << script->name << ": " << reply.text();
  }
  server_->command({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(store.keys().empty());
}

}  // namespace
}  // namespace tollgate
