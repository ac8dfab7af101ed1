#include "clients/keyspace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::bulk;
using ::testing::ElementsAre;
using testing::error;
using testing::integer;
using testing::nil;
using testing::status;
using ::testing::UnorderedElementsAre;

constexpr Keyspace::Time kStart{1h};

class KeyspaceTest : public ::testing::Test {
 protected:
  KeyspaceTest() { keys_.set_time(kStart); }

  std::vector<std::string> found(std::string_view pattern) {
    const Reply reply = keys_.scan(pattern);
    EXPECT_EQ(reply.elements().at(0), bulk("0"));
    std::vector<std::string> all;
    for (const Reply& key : reply.elements().at(1).elements()) all.push_back(key.text());
    return all;
  }

  Keyspace keys_{1000};
};

TEST_F(KeyspaceTest, CountsLikeRedis) {
  EXPECT_EQ(keys_.get("k"), nil());
  EXPECT_EQ(keys_.incr_by("k", 5), integer(5));
  EXPECT_EQ(keys_.incr_by("k", -7), integer(-2));
  EXPECT_EQ(keys_.get("k"), bulk("-2"));
  EXPECT_EQ(keys_.unlink("k"), integer(1));
  EXPECT_EQ(keys_.unlink("k"), integer(0));
  EXPECT_EQ(keys_.get("k"), nil());
}

TEST_F(KeyspaceTest, TakesEveryByteOfAKey) {
  keys_.incr_by("a\0b\xff"s, 1);
  keys_.incr_by("a", 2);
  EXPECT_EQ(keys_.get("a\0b\xff"s), bulk("1"));
  EXPECT_EQ(keys_.get("a"), bulk("2"));
  EXPECT_EQ(keys_.get("a\0"s), nil());
}

TEST_F(KeyspaceTest, RemovesAKeyWhenItExpires) {
  keys_.incr_by("k", 5);
  EXPECT_EQ(keys_.expire("k", 60), integer(1));
  keys_.set_time(kStart + 60s - 1ns);
  EXPECT_EQ(keys_.get("k"), bulk("5"));
  keys_.set_time(kStart + 60s);
  EXPECT_EQ(keys_.get("k"), nil());
  EXPECT_EQ(keys_.ttl("k"), integer(-2));
  EXPECT_EQ(keys_.incr_by("k", 1), integer(1));
  EXPECT_EQ(keys_.ttl("k"), integer(-1));
}

TEST_F(KeyspaceTest, UnlinksNothingThatHasExpired) {
  keys_.set("k", "5", 60);
  keys_.set_time(kStart + 60s);
  EXPECT_EQ(keys_.unlink("k"), integer(0));
}

TEST_F(KeyspaceTest, ExpiresOnlyWhatIsThere) {
  EXPECT_EQ(keys_.expire("k", 60), integer(0));
  EXPECT_EQ(keys_.get("k"), nil());
}

TEST_F(KeyspaceTest, KeepsTheTtlOfAKeyThatIsAddedTo) {
  keys_.set("k", "5", 60);
  keys_.set_time(kStart + 50s);
  keys_.incr_by("k", 1);
  EXPECT_EQ(keys_.ttl("k"), integer(10));
}

TEST_F(KeyspaceTest, RearmsAKeyThatIsExpiredAgainOrSet) {
  keys_.set("k", "5", 60);
  keys_.set_time(kStart + 50s);
  EXPECT_EQ(keys_.expire("k", 60), integer(1));
  EXPECT_EQ(keys_.ttl("k"), integer(60));
  EXPECT_EQ(keys_.set("k", "6", 30), status("OK"));
  EXPECT_EQ(keys_.ttl("k"), integer(30));
  EXPECT_EQ(keys_.get("k"), bulk("6"));
}

TEST_F(KeyspaceTest, ReturnsTheTtlInSecondsRoundedAsRedisDoes) {
  keys_.set("k", "5", 60);
  keys_.set_time(kStart + 400ms);
  EXPECT_EQ(keys_.ttl("k"), integer(60));
  keys_.set_time(kStart + 600ms);
  EXPECT_EQ(keys_.ttl("k"), integer(59));
}

TEST_F(KeyspaceTest, TakesTheLongestTtlWithoutOverflow) {
  keys_.set("k", "5", std::numeric_limits<std::int64_t>::max());
  keys_.expire("k", std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(keys_.get("k"), bulk("5"));
}

TEST_F(KeyspaceTest, RefusesToAddToAValueThatIsNotANumber) {
  for (const std::string value : {"abc", "", "1.5", "9223372036854775808"}) {
    keys_.set("k", value, 60);
    EXPECT_EQ(keys_.incr_by("k", 1), error("ERR value is not an integer or out of range"));
    EXPECT_EQ(keys_.get("k"), bulk(value));
  }
}

TEST_F(KeyspaceTest, RefusesToOverflow) {
  const Reply overflow = error("ERR increment or decrement would overflow");
  keys_.set("k", "9223372036854775807", 60);
  EXPECT_EQ(keys_.incr_by("k", 1), overflow);
  EXPECT_EQ(keys_.get("k"), bulk("9223372036854775807"));
  keys_.set("k", "-9223372036854775808", 60);
  EXPECT_EQ(keys_.incr_by("k", -1), overflow);
  EXPECT_EQ(keys_.incr_by("k", 1), integer(-9223372036854775807));
}

TEST(FullKeyspace, RefusesANewKeyAndStillChangesExistingOnes) {
  const Reply out_of_memory = error("OOM command not allowed when used memory > 'maxmemory'.");
  Keyspace keys{2};
  keys.set_time(kStart);
  keys.set("a", "1", 60);
  keys.set("b", "1", 60);
  EXPECT_EQ(keys.incr_by("c", 1), out_of_memory);
  EXPECT_EQ(keys.set("c", "1", 60), out_of_memory);
  EXPECT_EQ(keys.get("c"), nil());
  EXPECT_EQ(keys.incr_by("a", 1), integer(2));
  EXPECT_EQ(keys.set("b", "7", 60), status("OK"));
  EXPECT_EQ(keys.size(), 2U);
}

TEST(FullKeyspace, AcceptsNewKeysAgainAfterUnlinkAndExpiry) {
  Keyspace keys{2};
  keys.set_time(kStart);
  keys.set("a", "1", 60);
  keys.set("b", "1", 60);
  keys.unlink("a");
  EXPECT_EQ(keys.incr_by("c", 1), integer(1));
  keys.set_time(kStart + 60s);
  EXPECT_EQ(keys.incr_by("d", 1), integer(1));
  EXPECT_EQ(keys.incr_by("e", 1).is_error(), true);
}

TEST(BusyKeyspace, RemovesExpiredKeysThatAreNotAccessed) {
  Keyspace keys{std::numeric_limits<std::size_t>::max()};
  std::size_t largest = 0;
  constexpr int kUsersPerMinute = 3000;
  for (int minute = 0; minute < 60; ++minute) {
    keys.set_time(kStart + minute * 1min);
    for (int user = 0; user < kUsersPerMinute; ++user) {
      keys.set("user " + std::to_string(user) + " in minute " + std::to_string(minute), "1", 60);
      largest = std::max(largest, keys.size());
    }
  }
  EXPECT_LE(largest, 3U * kUsersPerMinute);
}

TEST_F(KeyspaceTest, ScansForAPattern) {
  for (const char* key : {"p:a:1", "p:a:2", "p:ab:1", "p:b:1", "q:a:1"}) keys_.set(key, "1", 60);
  EXPECT_THAT(found("p:a:*"), UnorderedElementsAre("p:a:1", "p:a:2"));
  EXPECT_THAT(found("p:a:1"), ElementsAre("p:a:1"));
  EXPECT_THAT(found("?:a:1"), UnorderedElementsAre("p:a:1", "q:a:1"));
  EXPECT_THAT(found("*b*1"), UnorderedElementsAre("p:ab:1", "p:b:1"));
  EXPECT_THAT(found("p:a"), ElementsAre());
  EXPECT_THAT(found(""), ElementsAre());
  EXPECT_EQ(found("*").size(), 5U);
}

TEST_F(KeyspaceTest, ScansForWhatIsEscaped) {
  for (const char* key : {"a*b", "axb", "a?b", "a\\b", "a[b]", "a\\*b"}) keys_.set(key, "1", 60);
  EXPECT_THAT(found(R"(a\*b)"), ElementsAre("a*b"));
  EXPECT_THAT(found(R"(a\?b)"), ElementsAre("a?b"));
  EXPECT_THAT(found(R"(a\\b)"), ElementsAre("a\\b"));
  EXPECT_THAT(found(R"(a\[b\])"), ElementsAre("a[b]"));
  EXPECT_THAT(found(R"(a\\\*b)"), ElementsAre("a\\*b"));
  EXPECT_THAT(found(R"(a\x*)"), ElementsAre("axb"));
}

TEST_F(KeyspaceTest, ScansBytesOfEveryKind) {
  keys_.set("a\0b"s, "1", 60);
  keys_.set("a", "1", 60);
  keys_.set("\xff\r\n", "1", 60);
  EXPECT_THAT(found("a\0*"s), ElementsAre("a\0b"s));
  EXPECT_THAT(found("a?b"), ElementsAre("a\0b"s));
  EXPECT_THAT(found("\xff*"), ElementsAre("\xff\r\n"));
}

TEST_F(KeyspaceTest, ScansLongTextsOfStarsInReasonableTime) {
  const std::string text(2000, 'a');
  keys_.set(text, "1", 60);
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "a*";
  EXPECT_THAT(found(pattern), ElementsAre(text));
  EXPECT_THAT(found(pattern + 'b'), ElementsAre());
}

TEST_F(KeyspaceTest, ScansNothingThatHasExpired) {
  keys_.set("old", "1", 60);
  keys_.set("new", "1", 90);
  keys_.set_time(kStart + 60s);
  EXPECT_THAT(found("*"), ElementsAre("new"));
}

TEST_F(KeyspaceTest, SetsSeveralKeysForMilliseconds) {
  keys_.set("a", "old", 60);
  std::vector<KeyWrite> writes{{"a", "1", 1'500}, {"b", "2", 90'000}};
  EXPECT_EQ(keys_.set_all(writes), status("OK"));
  EXPECT_EQ(keys_.get("a"), bulk("1"));
  EXPECT_EQ(keys_.pttl("a"), integer(1'500));
  EXPECT_EQ(keys_.ttl("a"), integer(2));  // rounded, as Redis does
  EXPECT_EQ(keys_.pttl("b"), integer(90'000));
  keys_.set_time(kStart + 1'499ms);
  EXPECT_EQ(keys_.get("a"), bulk("1"));
  keys_.set_time(kStart + 1'500ms);
  EXPECT_EQ(keys_.get("a"), nil());
  EXPECT_EQ(keys_.pttl("a"), integer(-2));
}

TEST_F(KeyspaceTest, SetsNoneOfSeveralKeysWhenTheyDoNotAllFit) {
  Keyspace keys{2};
  keys.set_time(kStart);
  keys.set("a", "old", 60);
  std::vector<KeyWrite> writes{{"a", "1", 1'000}, {"b", "2", 1'000}, {"c", "3", 1'000}};
  EXPECT_TRUE(keys.set_all(writes).is_error());
  EXPECT_EQ(keys.get("a"), bulk("old"));
  EXPECT_EQ(keys.pttl("a"), integer(60'000));
  EXPECT_EQ(keys.size(), 1U);

  keys.set_time(kStart + 60s);  // now `a` has expired, and makes room
  EXPECT_EQ(keys.set_all(std::span{writes}.subspan(1)), status("OK"));
  EXPECT_EQ(keys.get("c"), bulk("3"));
}

TEST_F(KeyspaceTest, HoldsHashes) {
  EXPECT_EQ(keys_.hget("h", "a"), nil());
  EXPECT_EQ(keys_.hset("h", "a", "1"), integer(1));
  EXPECT_EQ(keys_.hset("h", "a", "2"), integer(0));
  EXPECT_EQ(keys_.hget("h", "a"), bulk("2"));
  EXPECT_EQ(keys_.hget("h", "b"), nil());
  EXPECT_EQ(keys_.pttl("h"), integer(-1));
  EXPECT_EQ(keys_.unlink("h"), integer(1));
  EXPECT_EQ(keys_.hget("h", "a"), nil());
}

TEST_F(KeyspaceTest, RefusesCommandsOfAnotherType) {
  const Reply wrong_type = error("WRONGTYPE Operation against a key holding the wrong kind of value");
  keys_.hset("h", "a", "1");
  keys_.set("s", "1", 60);
  EXPECT_EQ(keys_.get("h"), wrong_type);
  EXPECT_EQ(keys_.incr_by("h", 1), wrong_type);
  EXPECT_EQ(keys_.hget("s", "a"), wrong_type);
  EXPECT_EQ(keys_.hset("s", "a", "1"), wrong_type);
  EXPECT_EQ(keys_.hget("h", "a"), bulk("1"));
  EXPECT_EQ(keys_.set("h", "now a string", 60), status("OK"));
  EXPECT_EQ(keys_.get("h"), bulk("now a string"));
}

}  // namespace
}  // namespace tollgate
