// The scripts that a new connection loads, and the rights that the replies show.

#include "transport/script_preload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "tollgate/testing/mock_redis_client.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate {
namespace {

class ScriptPreloadTest : public ::testing::Test {
 protected:
  void answer(const BatchResult& result) { preload_.handle(client_, {}, result); }

  static constexpr std::chrono::steady_clock::time_point kNow{std::chrono::hours{1}};
  static constexpr Script kOne{"one", "return 1", "sha1-of-one"};
  static constexpr Script kOther{"other", "return 2", "sha1-of-other"};

  testing::MockRedisClient client_;
  ScriptList scripts_;
  ScriptPreload preload_{scripts_};
};

TEST_F(ScriptPreloadTest, SendsEachScriptOnceWithoutKeys) {
  EXPECT_TRUE(preload_.batch(kNow).empty());
  scripts_.add(std::array{&kOne});
  scripts_.add(std::array{&kOne, &kOther});
  const CommandBatch batch = preload_.batch(kNow);
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(batch[0].script, &kOne);
  EXPECT_EQ(batch[1].script, &kOther);
  EXPECT_TRUE(batch[0].key.empty());
}

TEST_F(ScriptPreloadTest, KeepsAsManyScriptsAsItsMaximum) {
  std::array<Script, ScriptList::kMaxScripts + 1> many{};
  for (const Script& script : many) scripts_.add(std::array{&script});
  EXPECT_EQ(preload_.batch(kNow).size(), ScriptList::kMaxScripts);
}

TEST_F(ScriptPreloadTest, ReturnsTheRefusalUntilScriptsAreGranted) {
  EXPECT_FALSE(preload_.refusal().code);
  answer(testing::replies({testing::error("NOPERM this user has no permissions to run the 'eval' command")}));
  EXPECT_EQ(preload_.refusal().code, Errc::kPermissionDenied);
  EXPECT_THAT(preload_.refusal().detail, ::testing::HasSubstr("EVAL"));
  answer(testing::failure(Errc::kConnectionLost, true));
  EXPECT_TRUE(preload_.refusal().code) << "a lost connection says nothing";
  answer(testing::replies({testing::integer(-1)}));
  EXPECT_FALSE(preload_.refusal().code);
}

TEST_F(ScriptPreloadTest, RetriesOnceASecondWhileScriptsAreRefused) {
  static_cast<void>(preload_.batch(kNow));
  EXPECT_FALSE(preload_.is_retry_due(kNow + std::chrono::hours{1}));
  answer(testing::replies({testing::error("NOPERM this user has no permissions to run the 'eval' command")}));
  EXPECT_FALSE(preload_.is_retry_due(kNow + std::chrono::milliseconds{999}));
  EXPECT_TRUE(preload_.is_retry_due(kNow + std::chrono::seconds{1}));
  static_cast<void>(preload_.batch(kNow + std::chrono::seconds{1}));
  EXPECT_FALSE(preload_.is_retry_due(kNow + std::chrono::seconds{1}));
}

TEST_F(ScriptPreloadTest, ARenamedCommandIsARefusalAndALoadingServerIsNot) {
  answer(testing::replies({testing::error("LOADING Redis is loading the dataset in memory")}));
  EXPECT_FALSE(preload_.refusal().code);
  answer(testing::replies({testing::error("ERR unknown command 'EVAL', with args beginning with: ")}));
  EXPECT_TRUE(preload_.refusal().code);
}

}  // namespace
}  // namespace tollgate
