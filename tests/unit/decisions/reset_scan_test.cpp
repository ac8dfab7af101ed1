#include "decisions/reset_scan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "decisions/keys.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate::decisions {
namespace {

using testing::array;
using testing::bulk;
using ::testing::ElementsAre;
using testing::error;
using testing::integer;
using testing::nil;
using ::testing::PrintToString;
using testing::replies;
using ::testing::UnorderedElementsAre;

constexpr std::int64_t kMinute = 29'012'345;

std::vector<std::string> unlinked(const CommandBatch& batch) {
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].operation == Operation::kUnlink) keys.emplace_back(batch[i].key);
  }
  return keys;
}

/// The SCAN at the end of the batch, as text; empty = there is none.
std::string scan_of(const CommandBatch& batch) {
  const Command last = batch[batch.size() - 1];
  return last.operation == Operation::kScan ? PrintToString(last) : "";
}

Reply page(const std::string& cursor, const std::vector<std::string>& keys) {
  std::vector<Reply> all;
  for (const std::string& key : keys) all.push_back(bulk(key));
  return array({bulk(cursor), array(std::move(all))});
}

/// What Redis answers to `batch`: 1 for each UNLINK, `scanned` for the SCAN.
BatchResult answer(const CommandBatch& batch, const Reply& scanned) {
  BatchResult result;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    result.replies.push_back(batch[i].operation == Operation::kScan ? scanned : integer(1));
  }
  return result;
}

std::string counter(std::int64_t minute) { return "p:a:" + std::to_string(minute); }

/// A scan of which the current and adjacent windows have been deleted.
ResetScan scan_after_deletions(const std::string& prefix = "p", const std::string& user_id = "a") {
  ResetScan scan{prefix, user_id, {kMinute}};
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), nil())).code);
  return scan;
}

TEST(ResetScan, DeletesTheCurrentAndAdjacentWindowsFirst) {
  ResetScan scan{"p", "a", {kMinute}};
  EXPECT_FALSE(scan.done());
  const CommandBatch batch = scan.next_batch();
  EXPECT_THAT(unlinked(batch), UnorderedElementsAre(counter(kMinute - 1), counter(kMinute), counter(kMinute + 1)));
  EXPECT_EQ(batch.size(), 3U);
}

TEST(ResetScan, OfTheCurrentWindowsIsDoneThen) {
  ResetScan scan{"p", "a", {kMinute}, ResetScan::Reach::kCurrentWindows};
  EXPECT_FALSE(scan.done());
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), nil())).code);
  EXPECT_TRUE(scan.done());
}

TEST(ResetScan, ScansInBatchesOfTheirOwn) {
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.done());
  EXPECT_EQ(PrintToString(scan.next_batch()), "[SCAN \"p:a:*\" 0 500]");
}

TEST(ResetScan, IsDoneWhenNothingElseIsFound) {
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("0", {}))).code);
  EXPECT_TRUE(scan.done());
}

TEST(ResetScan, EscapesThePatternAndBoundsThePage) {
  ResetScan scan = scan_after_deletions("p*", "a?");
  const CommandBatch batch = scan.next_batch();
  EXPECT_EQ(batch[0].key, R"(p\*:a\?:*)");
  EXPECT_EQ(batch[0].integers[1], ResetScan::kPageSize);
}

TEST(ResetScan, FollowsTheCursorAndDeletesWhatEachPageHeld) {
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("42", {"p:a:1", "p:a:2"}))).code);
  EXPECT_FALSE(scan.done());

  const CommandBatch deletions = scan.next_batch();
  EXPECT_THAT(unlinked(deletions), UnorderedElementsAre("p:a:1", "p:a:2"));
  EXPECT_EQ(deletions.size(), 2U);
  EXPECT_FALSE(scan.read(answer(deletions, nil())).code);

  EXPECT_EQ(PrintToString(scan.next_batch()), "[SCAN \"p:a:*\" 42 500]");
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("0", {"p:a:3"}))).code);
  EXPECT_FALSE(scan.done());

  const CommandBatch last = scan.next_batch();
  EXPECT_THAT(unlinked(last), ElementsAre("p:a:3"));
  EXPECT_FALSE(scan.read(answer(last, nil())).code);
  EXPECT_TRUE(scan.done());
}

TEST(ResetScan, GoesOnOverEmptyPages) {
  ResetScan scan = scan_after_deletions();
  for (const char* cursor : {"7", "9", "5"}) {
    EXPECT_FALSE(scan.read(answer(scan.next_batch(), page(cursor, {}))).code);
    EXPECT_FALSE(scan.done());
    const CommandBatch next = scan.next_batch();
    EXPECT_EQ(next.size(), 1U);
    EXPECT_EQ(scan_of(next), std::string{"SCAN \"p:a:*\" "} + cursor + " 500");
  }
}

TEST(ResetScan, KeepsAllBitsOfTheCursor) {
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("18446744073709551615", {}))).code);
  EXPECT_EQ(static_cast<std::uint64_t>(scan.next_batch()[0].integers[0]), std::numeric_limits<std::uint64_t>::max());
}

TEST(ResetScan, DeletesNoOtherUsersKeysWhateverThePatternMatched) {
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("0", {"p:a:b:1", "p:a:1x", "p:a:", "p:a:charge:1:1:", "p:b:1",
                                                              "pp:a:1", "p:a:7"})))
                   .code);
  EXPECT_THAT(unlinked(scan.next_batch()), ElementsAre("p:a:7"));
}

TEST(ResetScan, DeletesInBatchesOfABoundedSize) {
  std::vector<std::string> keys;
  for (int minute = 0; minute < 500; ++minute) keys.push_back(counter(minute));
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("0", keys))).code);
  std::multiset<std::string> deleted;
  while (!scan.done()) {
    const CommandBatch batch = scan.next_batch();
    ASSERT_GT(batch.size(), 0U);
    EXPECT_LE(batch.size(), ResetScan::kUnlinksPerBatch);
    for (const std::string& key : unlinked(batch)) deleted.insert(key);
    ASSERT_FALSE(scan.read(answer(batch, nil())).code);
  }
  EXPECT_EQ(deleted, std::multiset<std::string>(keys.begin(), keys.end()));
}

TEST(ResetScan, CanBeContinuedWhenTheRoundTripFails) {
  ResetScan scan = scan_after_deletions();
  EXPECT_FALSE(scan.read(answer(scan.next_batch(), page("42", {"p:a:1", "p:a:2"}))).code);
  const std::string batch = PrintToString(scan.next_batch());
  EXPECT_EQ(scan.read(testing::failure(Errc::kTimeout)).code, Errc::kTimeout);
  EXPECT_EQ(PrintToString(scan.next_batch()), batch);
  EXPECT_FALSE(scan.done());
}

TEST(ResetScan, CanBeContinuedAfterAnErrorReply) {
  ResetScan scan{"p", "a", {kMinute}};
  const CommandBatch batch = scan.next_batch();
  EXPECT_EQ(scan.read(replies({error("READONLY no"), integer(1), integer(1)})).code, Errc::kReadOnly);
  EXPECT_EQ(PrintToString(scan.next_batch()), PrintToString(batch));
}

TEST(ResetScan, SaysWhenOlderWindowsMayRemain) {
  constexpr const char* kRemain = "older ones may remain";
  ResetScan scan = scan_after_deletions();
  const Failure refused = scan.read(answer(scan.next_batch(), error("NOPERM no")));
  EXPECT_EQ(refused.code, Errc::kPermissionDenied);
  EXPECT_THAT(refused.detail, ::testing::HasSubstr(kRemain));
  const Failure lost = scan.read(testing::failure(Errc::kConnectionLost, true));
  EXPECT_EQ(lost.code, Errc::kConnectionLost);
  EXPECT_THAT(lost.detail, ::testing::HasSubstr(kRemain));
  EXPECT_FALSE(scan.done());

  ResetScan first{"p", "a", {kMinute}};
  static_cast<void>(first.next_batch());
  EXPECT_THAT(first.read(testing::failure(Errc::kConnectionLost, true)).detail,
              ::testing::Not(::testing::HasSubstr(kRemain)));
}

TEST(ResetScan, RefusesTooFewOrTooManyReplies) {
  ResetScan scan{"p", "a", {kMinute}};
  const CommandBatch batch = scan.next_batch();
  EXPECT_EQ(scan.read(replies({})).code, Errc::kProtocol);
  EXPECT_EQ(scan.read(replies({integer(1), integer(1)})).code, Errc::kProtocol);
  EXPECT_EQ(scan.read(replies({integer(1), integer(1), integer(1), page("0", {})})).code, Errc::kProtocol);
  EXPECT_EQ(PrintToString(scan.next_batch()), PrintToString(batch));
}

TEST(ResetScan, RefusesAScanReplyThatIsMalformedAndKeepsItsCursor) {
  for (const Reply& reply :
       {nil(), integer(0), bulk("0"), array({}), array({bulk("0")}), array({bulk("0"), array({}), array({})}),
        array({bulk(""), array({})}), array({bulk("x"), array({})}), array({bulk("7x"), array({})}),
        array({bulk("-1"), array({})}), array({bulk("18446744073709551616"), array({})}), array({nil(), array({})}),
        array({array({}), bulk("0")}), array({bulk("0"), nil()}), array({bulk("0"), bulk("p:a:1")})}) {
    ResetScan scan = scan_after_deletions();
    ASSERT_FALSE(scan.read(answer(scan.next_batch(), page("42", {}))).code);
    EXPECT_EQ(scan.read(answer(scan.next_batch(), reply)).code, Errc::kProtocol) << PrintToString(reply);
    EXPECT_FALSE(scan.done()) << PrintToString(reply);
    EXPECT_EQ(scan_of(scan.next_batch()), "SCAN \"p:a:*\" 42 500") << PrintToString(reply);
  }
}

}  // namespace
}  // namespace tollgate::decisions
