#include "values/structured_field.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace tollgate {
namespace {

using namespace std::string_literals;

TEST(StructuredString, IsQuotedAndEscapesQuotesAndBackslashesAlone) {
  EXPECT_EQ(structured_string(""), R"("")");
  EXPECT_EQ(structured_string("tokens-per-minute"), R"("tokens-per-minute")");
  EXPECT_EQ(structured_string(R"(a";q=0,"b\)"), R"("a\";q=0,\"b\\")");
  EXPECT_EQ(structured_string(" ~;=,:"), R"(" ~;=,:")");
}

TEST(StructuredString, HoldsPrintableAsciiAlone) {
  EXPECT_TRUE(is_printable_ascii(""));
  EXPECT_TRUE(is_printable_ascii(" ~"));
  for (const std::string& text : {"\x1f"s, "\x7f"s, "\x80"s, "\0"s, "a\r\nb"s, "é"s}) {
    EXPECT_FALSE(is_printable_ascii(text)) << testing::PrintToString(text);
  }
}

TEST(StructuredInteger, HasFifteenDigitsAtMost) {
  EXPECT_EQ(structured_integer(0), "0");
  EXPECT_EQ(structured_integer(-7), "-7");
  EXPECT_EQ(structured_integer(999'999'999'999'999), "999999999999999");
  EXPECT_EQ(structured_integer(1'000'000'000'000'000), "999999999999999");
  EXPECT_EQ(structured_integer(std::numeric_limits<std::int64_t>::min()), "-999999999999999");
}

TEST(StructuredBytes, AreBase64BetweenColons) {  // the vectors of RFC 4648, section 10
  EXPECT_EQ(structured_bytes(""), "::");
  EXPECT_EQ(structured_bytes("f"), ":Zg==:");
  EXPECT_EQ(structured_bytes("fo"), ":Zm8=:");
  EXPECT_EQ(structured_bytes("foo"), ":Zm9v:");
  EXPECT_EQ(structured_bytes("foob"), ":Zm9vYg==:");
  EXPECT_EQ(structured_bytes("fooba"), ":Zm9vYmE=:");
  EXPECT_EQ(structured_bytes("foobar"), ":Zm9vYmFy:");
  EXPECT_EQ(structured_bytes("\xfb\xff\0"s), ":+/8A:");
}

}  // namespace
}  // namespace tollgate
