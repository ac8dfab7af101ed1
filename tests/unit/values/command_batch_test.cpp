#include "tollgate/values/command_batch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tollgate/testing/print.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using ::testing::ElementsAre;

std::vector<std::string> keys_of(const CommandBatch& batch) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < batch.size(); ++i) keys.emplace_back(batch[i].key);
  return keys;
}

TEST(CommandBatch, StartsEmpty) {
  const CommandBatch batch;
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(batch.size(), 0U);
}

TEST(CommandBatch, HoldsEachOperationWithItsArguments) {
  CommandBatch batch;
  batch.get("a");
  batch.incr_by("b", -5);
  batch.expire("c", 60s);
  batch.unlink("d");
  batch.scan(7, "e:*", 500);
  batch.run(kAdjustScript, std::vector<std::string_view>{"f", "g"}, std::vector<std::int64_t>{-30, 0, 120});
  ASSERT_EQ(batch.size(), 6U);
  EXPECT_EQ(::testing::PrintToString(batch),
            "[GET \"a\", INCRBY \"b\" -5, EXPIRE \"c\" 60, UNLINK \"d\", SCAN \"e:*\" 7 500, "
            "EVALSHA adjust \"f\" \"g\" -30 0 120]");
  EXPECT_EQ(batch[5].script, &kAdjustScript);
  EXPECT_EQ(batch[0].script, nullptr);
  EXPECT_TRUE(batch[0].integers.empty());
}

TEST(CommandBatch, KeepsAllBitsOfACursor) {
  CommandBatch batch;
  batch.scan(std::numeric_limits<std::uint64_t>::max(), "*", 1);
  EXPECT_EQ(static_cast<std::uint64_t>(batch[0].integers[0]), std::numeric_limits<std::uint64_t>::max());
}

TEST(CommandBatch, TakesAnyNumberOfKeysAndIntegers) {
  CommandBatch batch;
  std::vector<std::string> keys;
  std::vector<std::string_view> views;
  std::vector<std::int64_t> integers;
  for (int i = 0; i < 100; ++i) {
    keys.push_back("key" + std::to_string(i));
    integers.push_back(i);
  }
  views.assign(keys.begin(), keys.end());
  batch.incr_by("a", 1);
  batch.run(kAdmitScript, views, integers);
  batch.run(kAdmitScript, "k", {1, 2, 3, 4, 5, 6});
  const Command many = batch[1];
  EXPECT_EQ(many.key, "key0");
  ASSERT_EQ(many.keys.size(), 100U);
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(many.keys[i], keys[i]);
  EXPECT_THAT(many.integers, ::testing::ElementsAreArray(integers));
  EXPECT_THAT(batch[0].integers, ElementsAre(1));
  EXPECT_THAT(batch[2].integers, ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST(CommandBatch, AppendsACopyOfACommandOfAnotherBatch) {
  CommandBatch batch;
  batch.get("first");
  {
    CommandBatch other;
    other.run(kAdjustScript, std::vector<std::string_view>{"f", "g"}, std::vector<std::int64_t>{-30, 0, 120});
    other.ping();
    for (std::size_t i = 0; i < other.size(); ++i) batch.append(other[i]);
  }
  EXPECT_EQ(::testing::PrintToString(batch), "[GET \"first\", EVALSHA adjust \"f\" \"g\" -30 0 120, PING]");
}

TEST(CommandBatch, TakesEveryByteOfAKey) {
  CommandBatch batch;
  batch.get("a\0\xff:b\r\n"s);
  batch.get("");
  EXPECT_THAT(keys_of(batch), ElementsAre("a\0\xff:b\r\n"s, ""));
}

TEST(CommandBatch, OwnsItsBytes) {
  CommandBatch batch;
  std::string key = "key";
  batch.get(key);
  key = "xxx";
  EXPECT_EQ(batch[0].key, "key");
}

TEST(CommandBatch, KeepsAKeyThatIsRepeatedOnce) {
  CommandBatch batch;
  batch.incr_by("key", 1);
  batch.expire("key", 60s);
  EXPECT_EQ(batch[0].key, "key");
  EXPECT_EQ(batch[0].key.data(), batch[1].key.data());
}

TEST(CommandBatch, DistinguishesAlternatingKeys) {
  CommandBatch batch;
  for (const char* key : {"a", "b", "a", "ab", "b", "ab", "a"}) batch.get(key);
  EXPECT_THAT(keys_of(batch), ElementsAre("a", "b", "a", "ab", "b", "ab", "a"));
}

TEST(CommandBatch, KeepsItsKeysWhenTheyOutgrowTheRoomInside) {
  for (const std::size_t length : {1U, 63U, 64U, 85U, 128U, 255U, 256U, 257U, 1000U}) {
    CommandBatch batch;
    std::vector<std::string> expected;
    const std::string last(length, 'z');
    for (char letter = 'a'; letter < 'k'; ++letter) {
      expected.emplace_back(length, letter);
      batch.run(kAdjustScript, std::vector<std::string_view>{expected.back(), last}, std::vector<std::int64_t>{1});
    }
    EXPECT_EQ(keys_of(batch), expected) << length;
    for (std::size_t i = 0; i < batch.size(); ++i) EXPECT_EQ(batch[i].keys[1], last);
  }
}

TEST(CommandBatch, CanRepeatItsOwnKeyWhileItGrows) {
  CommandBatch batch;
  batch.get(std::string(200, 'a'));
  batch.get("b");
  batch.expire(batch[0].key, 60s);
  batch.expire(batch[0].key, 60s);
  EXPECT_THAT(keys_of(batch), ElementsAre(std::string(200, 'a'), "b", std::string(200, 'a'), std::string(200, 'a')));
}

class CommandBatchOfLength : public ::testing::TestWithParam<std::size_t> {
 protected:
  CommandBatch made() const {
    CommandBatch batch;
    batch.incr_by(key(), 5);
    batch.expire(key(), 60s);
    return batch;
  }
  [[nodiscard]] std::string key() const { return std::string(GetParam(), 'k'); }
};

TEST_P(CommandBatchOfLength, IsCopiedWithItsBytes) {
  CommandBatch original = made();
  CommandBatch copy = original;
  EXPECT_NE(copy[0].key.data(), original[0].key.data());
  original = CommandBatch{};
  copy.get("more");
  EXPECT_THAT(keys_of(copy), ElementsAre(key(), key(), "more"));
  EXPECT_TRUE(original.empty());
}

TEST_P(CommandBatchOfLength, IsMovedWithItsBytes) {
  CommandBatch original = made();
  const CommandBatch moved = std::move(original);
  EXPECT_THAT(keys_of(moved), ElementsAre(key(), key()));
  EXPECT_THAT(moved[0].integers, ElementsAre(5));
}

INSTANTIATE_TEST_SUITE_P(InsideAndOnTheHeap, CommandBatchOfLength, ::testing::Values(10, 256, 257, 1000));

}  // namespace
}  // namespace tollgate
