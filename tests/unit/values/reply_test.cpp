#include "tollgate/values/reply.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "tollgate/testing/print.hpp"
#include "tollgate/testing/replies.hpp"

namespace tollgate {
namespace {

using namespace std::string_literals;
using testing::array;
using testing::bulk;
using testing::error;
using testing::integer;
using testing::nil;
using testing::status;

TEST(Reply, IsNilUntilItIsSomething) {
  EXPECT_TRUE(Reply{}.is_nil());
  EXPECT_EQ(Reply{}.kind(), Reply::Kind::kNil);
}

TEST(Reply, HasAKindAndContent) {
  EXPECT_EQ(integer(5).kind(), Reply::Kind::kInteger);
  EXPECT_EQ(bulk("a\0b"s).text(), "a\0b"s);
  EXPECT_EQ(status("OK").text(), "OK");
  EXPECT_TRUE(error("ERR no").is_error());
  EXPECT_EQ(error("ERR no").text(), "ERR no");
  EXPECT_EQ(array({integer(1), nil()}).elements().size(), 2U);
  EXPECT_EQ(integer(5).text(), "");
  EXPECT_TRUE(bulk("5").elements().empty());
}

TEST(Reply, EqualsOnlyTheSameKindAndContent) {
  EXPECT_EQ(integer(5), integer(5));
  EXPECT_NE(integer(5), integer(6));
  EXPECT_NE(integer(0), nil());
  EXPECT_NE(bulk("OK"), status("OK"));
  EXPECT_NE(array({integer(1)}), array({integer(1), integer(1)}));
}

TEST(ReplyToInteger, ReadsIntegersAndStringsOfDigits) {
  constexpr auto kMin = std::numeric_limits<std::int64_t>::min();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{7}, std::int64_t{-7}, kMin, kMax}) {
    EXPECT_EQ(integer(value).to_integer(), value);
    EXPECT_EQ(bulk(std::to_string(value)).to_integer(), value);
  }
}

TEST(ReplyToInteger, ReadsNothingElse) {
  for (const std::string& text : {""s, " 5"s, "5 "s, "+5"s, "-"s, "5x"s, "x5"s, "5.0"s, "5e1"s, "0x5"s, "5\n"s, "5\0"s,
                                  "--5"s, "9223372036854775808"s, "-9223372036854775809"s}) {
    EXPECT_EQ(bulk(text).to_integer(), std::nullopt) << text;
  }
  for (const Reply& reply : {nil(), status("5"), error("5"), array({integer(5)})}) {
    EXPECT_EQ(reply.to_integer(), std::nullopt);
  }
}

TEST(BatchResult, IsOkUntilItHasAFailure) {
  EXPECT_TRUE(BatchResult{}.ok());
  EXPECT_TRUE(testing::replies({error("ERR a reply is no failure")}).ok());
  EXPECT_FALSE(testing::failure(Errc::kTimeout).ok());
}

}  // namespace
}  // namespace tollgate
