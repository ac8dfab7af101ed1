#include "doors/reservation_token.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>

#include "doors/digests.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kSecret = "a secret of 24 bytes ...";
const ReservationToken kToken{"user_42", "0123456789abcdef0123456789abcdef", {29'012'344}, {29'012'345}, 1'500, 200};

RateLimitConfig with_secret(std::string secret = kSecret) {
  RateLimitConfig config;
  config.token_secret = std::move(secret);
  return config;
}

RateLimitConfig with_prefix(std::string prefix) {
  RateLimitConfig config = with_secret();
  config.key_prefix = std::move(prefix);
  return config;
}

std::string rejected(std::string_view token, const RateLimitConfig& config = with_secret()) {
  return rejection([&] { static_cast<void>(ReservationToken::decode(token, config)); });
}

void expect_same(const ReservationToken& one, const ReservationToken& other) {
  EXPECT_EQ(one.user_id, other.user_id);
  EXPECT_EQ(one.id, other.id);
  EXPECT_EQ(one.first_window, other.first_window);
  EXPECT_EQ(one.window, other.window);
  EXPECT_EQ(one.held, other.held);
  EXPECT_EQ(one.earlier, other.earlier);
}

TEST(ReservationToken, RoundTrips) {
  for (const RateLimitConfig& config : {RateLimitConfig{}, with_secret(), with_prefix(""), with_prefix("a:b")}) {
    expect_same(ReservationToken::decode(kToken.encode(config), config), kToken);
  }
}

TEST(ReservationToken, CarriesEveryValidValue) {
  const ReservationToken smallest{"u", "i", {std::numeric_limits<std::int64_t>::min()}, {-1}, 0, 0};
  const ReservationToken largest{std::string(512, '\xff'),
                                 std::string(128, '.'),
                                 {std::numeric_limits<std::int64_t>::max()},
                                 {std::numeric_limits<std::int64_t>::max()},
                                 kMaxTokens,
                                 kMaxTokens};
  const ReservationToken hostile{std::string{"a:b*.\0\n", 7}, std::string{"\0.", 2}, {-1}, {-1}, 1, 1};
  for (const ReservationToken& token : {smallest, largest, hostile}) {
    expect_same(ReservationToken::decode(token.encode(with_secret()), with_secret()), token);
  }
}

TEST(ReservationToken, IsPrintableTextOfABoundedLength) {
  const ReservationToken shortest{"u", "i", {0}, {0}, 0, 0};
  const ReservationToken longest{std::string(512, '\xff'), std::string(128, 'i'), {0}, {0}, 0, 0};
  EXPECT_THAT(shortest.encode({}), MatchesRegex("tg2\\.[0-9a-f]+\\.[0-9a-f]+"));
  EXPECT_EQ(shortest.encode({}).size(), 129U);
  EXPECT_EQ(longest.encode({}).size(), 1405U);
}

TEST(ReservationToken, KeepsItsFormat) {
  RateLimitConfig config = with_secret();
  config.key_prefix = "p";
  EXPECT_EQ((ReservationToken{"u", "i", {1}, {2}, 3, 4}.encode(config)),
            "tg2.148de9c5a7a44d19"  // SHA-256 of "p", its first 8 bytes
            "000175"
            "000169"
            "0000000000000001"
            "0000000000000002"
            "0000000000000003"
            "0000000000000004"
            ".b72e6fa77a05b83b8a7c72ce763caa04");
}

TEST(ReservationToken, DoesNotHoldTheSecret) {
  std::string hex;
  for (const char character : kSecret) {
    for (const int digit : {character / 16, character % 16}) hex += "0123456789abcdef"[digit];
  }
  EXPECT_THAT(kToken.encode(with_secret()), AllOf(Not(HasSubstr(hex)), Not(HasSubstr(kSecret))));
}

TEST(ReservationToken, IsRejectedWithAnyOneCharacterChanged) {
  const std::string token = kToken.encode(with_secret());
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string damaged = token;
    damaged[i] = damaged[i] == '0' ? '1' : '0';
    EXPECT_THAT(rejected(damaged), StartsWith("tollgate: token is ")) << i;
  }
}

TEST(ReservationToken, IsRejectedWhenCutOrContinued) {
  const std::string token = kToken.encode(with_secret());
  for (std::size_t size = 0; size < token.size(); ++size) {
    EXPECT_THAT(rejected(token.substr(0, size)), StartsWith("tollgate: token is ")) << size;
  }
  for (const char* more : {"0", "00", ".", ".00", "\n", " "}) {
    EXPECT_THAT(rejected(token + more), StartsWith("tollgate: token is ")) << more;
  }
}

TEST(ReservationToken, CanBeWrittenInOneWayOnly) {
  std::string token = kToken.encode(with_secret());
  for (char& character : token) {
    if (character >= 'a' && character <= 'f') character -= 'a' - 'A';
  }
  EXPECT_THAT(rejected(token), HasSubstr("not two parts of hex digits"));
}

TEST(ReservationToken, IsRejectedUnderAnotherSecret) {
  const std::string expected = "it is damaged, forged, or made under another token_secret";
  EXPECT_THAT(rejected(kToken.encode(with_secret()), with_secret("another of 24 bytes ....")), HasSubstr(expected));
  EXPECT_THAT(rejected(kToken.encode(with_secret()), with_secret("")), HasSubstr(expected));
  EXPECT_THAT(rejected(kToken.encode(with_secret("")), with_secret()), HasSubstr(expected));
}

TEST(ReservationToken, SaysThatItBelongsToAnotherPrefix) {
  EXPECT_THAT(rejected(kToken.encode(with_prefix("tenant-a")), with_prefix("tenant-b")),
              HasSubstr("it is damaged or belongs to another key_prefix than \"tenant-b\""));
}

TEST(ReservationToken, SaysWhatIsWrong) {
  EXPECT_EQ(rejected(""),
            "tollgate: token is 0 bytes long; it does not start with tg2.; it must be what Reservation::token() made");
  EXPECT_THAT(rejected("tg1.00.00"), HasSubstr("does not start with tg2."));
  EXPECT_THAT(rejected("tg2."), HasSubstr("not two parts of hex digits"));
  EXPECT_THAT(rejected("tg2.0.00"), HasSubstr("not two parts of hex digits"));
  EXPECT_THAT(rejected("tg2.xx.00"), HasSubstr("not two parts of hex digits"));
  EXPECT_THAT(rejected("tg2.00.00"), HasSubstr("its fields do not fit its length"));
  EXPECT_THAT(rejected("tg2." + std::string(4093, '0')), HasSubstr("token is 4097 bytes long; that is more than 4096"));
}

TEST(ReservationToken, IsNotInMessagesBecauseItHoldsAUserId) {
  EXPECT_EQ(rejected("tg2.\n\"\xff" + std::string(4000, 'x')),
            "tollgate: token is 4007 bytes long; it is not two parts of hex digits; it must be what "
            "Reservation::token() made");
}

TEST(ReservationToken, PrintsNoSecretInAnyRejection) {
  for (const std::string& token :
       {kToken.encode(with_secret("another of 24 bytes ....")), kToken.encode(with_prefix("other")),
        std::string{"tg2.00.00"}, kSecret.substr(0, 0)}) {
    EXPECT_THAT(rejected(token), AllOf(Not(HasSubstr(kSecret)), Not(HasSubstr("another of 24"))));
  }
}

// With the secret, or without any secret configured, a program can sign fields that no Reservation would make.
TEST(ReservationToken, IsRejectedWithFieldsOutOfRangeAlthoughItsTagFits) {
  const std::string id = random_id();
  for (const ReservationToken& forged :
       {ReservationToken{"", id, {0}, {0}, 0, 0}, ReservationToken{std::string(513, 'u'), id, {0}, {0}, 0, 0},
        ReservationToken{"u", "", {0}, {0}, 0, 0}, ReservationToken{"u", std::string(129, 'i'), {0}, {0}, 0, 0},
        ReservationToken{"u", id, {0}, {0}, -1, 0}, ReservationToken{"u", id, {0}, {0}, kMaxTokens + 1, 0},
        ReservationToken{"u", id, {0}, {0}, 0, -1}, ReservationToken{"u", id, {0}, {0}, 0, kMaxTokens + 1},
        ReservationToken{"u", id, {0}, {0}, std::numeric_limits<std::int64_t>::min(), 0}}) {
    EXPECT_THAT(rejected(forged.encode(with_secret())), HasSubstr("it is forged: a field is out of range"));
  }
}

TEST(ReservationToken, HasAnIdOf128RandomBitsInHex) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    ids.insert(random_id());
    EXPECT_THAT(*ids.rbegin(), MatchesRegex("[0-9a-f]+"));
    EXPECT_EQ(ids.rbegin()->size(), 32U);
  }
  EXPECT_EQ(ids.size(), 1000U);
}

}  // namespace
}  // namespace tollgate
