#include "decisions/keys.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>
#include <vector>

#include "clients/keyspace.hpp"
#include "values/hash_slot.hpp"

namespace tollgate::decisions {
namespace {

using namespace std::string_literals;

constexpr std::int64_t kMinute = 29'012'345;

std::string counter(std::string_view prefix, std::string_view user_id, std::int64_t minute = kMinute) {
  return std::string{Key::counter(prefix, user_id, {minute}).view()};
}

std::string operation(std::string_view user_id, std::string_view kind, std::string_view id) {
  return std::string{Key::operation("p", user_id, kind, id).view()};
}

// Ids that have fooled other limiters, and some that begin or end like parts of a key.
const std::vector<std::string> kHostileIds{"a",        "a:",  ":a",  ":",   "a:b",   "a:5",      "a:29012345",
                                           "a:charge", "*",   "a*",  "?",   "[a-z]", "[",        "]",
                                           "\\",       "\\*", "a\\", "{x}", "a\0b"s, "\0"s,      "\xff",
                                           "\r\n",     " ",   "-",   "5",   "",      "\xc3\xa9", std::string(512, 'x')};

TEST(CounterKey, IsWhatThePythonServiceWrites) {
  EXPECT_EQ(counter("ractogateway:ratelimit", "user_42"), "ractogateway:ratelimit:user_42:29012345");
}

TEST(CounterKey, TakesEveryByteAsItIs) {
  EXPECT_EQ(counter("p", "a:b*\0\xff{x}"s), "p:a:b*\0\xff{x}:29012345"s);
  EXPECT_EQ(counter("", "u", -1), ":u:-1");
}

TEST(CounterKey, HoldsTheLongestParts) {
  const std::string prefix(kMaxKeyPrefixBytes, 'p');
  const std::string user_id(kMaxUserIdBytes, 'u');
  const std::int64_t first = std::numeric_limits<std::int64_t>::min();
  EXPECT_EQ(counter(prefix, user_id, first), prefix + ':' + user_id + ":-9223372036854775808");
}

TEST(CounterKey, DiffersBetweenAnyTwoUsers) {
  std::set<std::string> keys;
  for (const std::string& id : kHostileIds) keys.insert(counter("p", id));
  EXPECT_EQ(keys.size(), kHostileIds.size());
}

TEST(OperationKey, IsReadableFromTheRight) {
  EXPECT_EQ(operation("user_42", "charge", "op-1"), "p:user_42:charge:op-1:4:");
}

TEST(OperationKey, HoldsTheLongestParts) {
  const std::string prefix(kMaxKeyPrefixBytes, 'p');
  const std::string user_id(kMaxUserIdBytes, 'u');
  const std::string id(kMaxOperationIdBytes, 'i');
  EXPECT_EQ(Key::operation(prefix, user_id, "charge", id).view(), prefix + ':' + user_id + ":charge:" + id + ":128:");
}

TEST(OperationKey, DiffersBetweenAnyTwoUsersKindsAndIds) {
  std::set<std::string> keys;
  std::size_t made = 0;
  std::vector<std::string> ids = kHostileIds;
  for (const char* tricky : {"b:charge:c", "c", "charge:c:1:", "a:1:", "x:charge:y:1:", "1:", ":1:"})
    ids.emplace_back(tricky);
  for (const std::string& user_id : ids) {
    for (const std::string& id : ids) {
      if (id.size() > kMaxOperationIdBytes) continue;
      for (const char* kind : {"charge", "adjust"}) {
        keys.insert(operation(user_id, kind, id));
        ++made;
      }
    }
  }
  EXPECT_EQ(keys.size(), made);
}

TEST(OperationKey, IsNotACounterOfAnyUser) {
  for (const std::string& user_id : kHostileIds) {
    for (const std::string id : {"29012345", "a:29012345", ":29012345:", "5"}) {
      const std::string key = operation(user_id, "charge", id);
      for (std::size_t end = 2; end <= key.size(); ++end) {
        EXPECT_FALSE(is_counter_of(key, "p", std::string_view{key}.substr(2, end - 2))) << key;
      }
    }
  }
}

// Everything that a hash tag may be made of, and what may confuse whoever looks for one.
const std::vector<std::string> kBraces{"",    "{",   "}",  "{}",     "}{",  "{{",    "}}",     "{}}",
                                       "{{}", "{a}", "{a", "a}",     "}a{", "{}{a}", "{a}{b}", "{{a}}",
                                       "a",   "{:",  ":}", "{}a{b}", "}{}", "{ }"};

TEST(OperationKeyOfAWindow, LiesInTheSlotOfItsCounterWhateverBracesAnyPartHolds) {
  for (const std::string& prefix : kBraces) {
    for (const std::string& user_id : kBraces) {
      for (const std::string& id : kBraces) {
        for (const std::int64_t window : {kMinute, std::int64_t{-1}}) {
          const Key key = Key::operation(prefix, user_id, {window}, "charge", id);
          ASSERT_EQ(hash_slot(key.view()), hash_slot(counter(prefix, user_id, window))) << key.view();
        }
      }
    }
  }
}

TEST(OperationKeyOfAWindow, StartsWithThePrefixSoThatItsRightsCoverIt) {
  for (const std::string& prefix : kBraces) {
    for (const std::string& user_id : kBraces) {
      const Key key = Key::operation(prefix, user_id, {kMinute}, "charge", "op");
      EXPECT_TRUE(key.view().starts_with(counter(prefix, user_id) + ':')) << key.view();
    }
  }
}

TEST(OperationKeyOfAWindow, DiffersBetweenAnyTwoUsersWindowsKindsAndIds) {
  std::set<std::string> keys;
  std::size_t made = 0;
  std::vector<std::string> texts = kBraces;
  for (const char* tricky : {"a:5", "5:charge:a", "a:1:", "1:", "charge", "a:29012345", "29012345:charge:a:1:"}) {
    texts.emplace_back(tricky);
  }
  for (const std::string& user_id : texts) {
    for (const std::string& id : texts) {
      for (const char* kind : {"charge", "adjust"}) {
        for (const std::int64_t window : {std::int64_t{5}, kMinute}) {
          keys.emplace(Key::operation("p", user_id, {window}, kind, id).view());
          ++made;
        }
        keys.insert(operation(user_id, kind, id));  // nor does one meet a record that names no window
        ++made;
      }
    }
  }
  EXPECT_EQ(keys.size(), made);
}

TEST(OperationKeyOfAWindow, IsNotACounterOfAnyUser) {
  for (const std::string& prefix : kBraces) {
    for (const std::string& user_id : kBraces) {
      for (const std::string id : {"29012345", "a:29012345", ":29012345:", "5", "}5"}) {
        const std::string key{Key::operation(prefix, user_id, {5}, "charge", id).view()};
        EXPECT_FALSE(window_of_counter(key)) << key;
      }
    }
  }
}

TEST(OperationKeyOfAWindow, HoldsTheLongestParts) {
  const std::string prefix(kMaxKeyPrefixBytes, '}');
  const std::string user_id(kMaxUserIdBytes, 'u');
  const std::string id(kMaxOperationIdBytes, 'i');
  const Key key = Key::operation(prefix, user_id, {std::numeric_limits<std::int64_t>::min()}, "charge", id);
  EXPECT_TRUE(key.view().ends_with("}:charge:" + id + ":128:"));
  const std::string braces = "{}" + std::string(kMaxKeyPrefixBytes - 2, 'p');
  const Key padded = Key::operation(braces, user_id, {std::numeric_limits<std::int64_t>::min()}, "charge", id);
  EXPECT_EQ(padded.view().size(), key.view().size() - 3);  // four characters instead of a tag of seven
}

TEST(WindowOfCounter, IsTheNumberBehindTheLastColon) {
  EXPECT_EQ(window_of_counter("p:u:29012345"), WindowId{kMinute});
  EXPECT_EQ(window_of_counter("p:u:-1"), WindowId{-1});
  for (const char* key : {"", "5", "p:u:", "p:u:5x", "p:u:charge:5:1:"}) EXPECT_FALSE(window_of_counter(key)) << key;
}

TEST(IsCounterOf, AcceptsEveryUsersOwnCounters) {
  for (const std::string& id : kHostileIds) {
    EXPECT_TRUE(is_counter_of(counter("p", id), "p", id));
    EXPECT_TRUE(is_counter_of(counter("p", id, -1), "p", id));
    EXPECT_TRUE(is_counter_of(counter("", id, 0), "", id));
  }
}

TEST(IsCounterOf, RejectsCountersOfOtherUsers) {
  for (const std::string& owner : kHostileIds) {
    for (const std::string& other : kHostileIds) {
      if (owner == other) continue;
      EXPECT_FALSE(is_counter_of(counter("p", owner), "p", other))
          << ::testing::PrintToString(owner) << " taken for one of " << ::testing::PrintToString(other);
    }
  }
}

TEST(IsCounterOf, RejectsCountersOfOtherPrefixes) {
  EXPECT_FALSE(is_counter_of("p:a:b:29012345", "p", "a"));
  EXPECT_TRUE(is_counter_of("p:a:b:29012345", "p", "a:b"));
  EXPECT_FALSE(is_counter_of("pp:a:29012345", "p", "a"));
  EXPECT_FALSE(is_counter_of("p:a:29012345", "pp", "a"));
}

TEST(IsCounterOf, RequiresAMinuteAndNothingElseAtTheEnd) {
  for (const std::string key : {"p:a:", "p:a", "p:a:x", "p:a:1x", "p:a:1 ", "p:a: 1", "p:a:+1", "p:a:1.5", "p:a:-",
                                "p:a:1:", "p:a:9223372036854775808", "p:a:1:charge:x:1:", "", "p"}) {
    EXPECT_FALSE(is_counter_of(key, "p", "a")) << key;
  }
  EXPECT_FALSE(is_counter_of("p:a:1\0"s, "p", "a"));
}

TEST(CountersPattern, EscapesGlobCharacters) {
  EXPECT_EQ(counters_pattern("ractogateway:ratelimit", "user_42"), "ractogateway:ratelimit:user_42:*");
  EXPECT_EQ(counters_pattern("p*", "a?[b]\\c"), R"(p\*:a\?\[b\]\\c:*)");
}

TEST(CountersPattern, FindsTheCountersOfEveryUserAndNoUnrelatedOnes) {
  for (const std::string& id : kHostileIds) {
    Keyspace keys{10};
    keys.incr_by(counter("p*", id), 1);
    keys.incr_by(counter("pp", id), 1);
    keys.incr_by(counter("p*", "somebody else"), 1);
    const Reply reply = keys.scan(counters_pattern("p*", id));
    ASSERT_EQ(reply.elements()[1].elements().size(), 1U) << ::testing::PrintToString(id);
    EXPECT_EQ(reply.elements()[1].elements()[0].text(), counter("p*", id));
  }
}

}  // namespace
}  // namespace tollgate::decisions
