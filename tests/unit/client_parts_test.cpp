// The small pure parts of the hiredis client: what is written, what is read, when it is tried again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "redis/reply_parser.hpp"
#include "redis/resp_encoder.hpp"
#include "tollgate/algorithm/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

std::string encoded(const CommandBatch& batch) {
  std::string out;
  append_resp(out, batch);
  return out;
}

TEST(RespEncoder, WritesACharge) {
  CommandBatch batch;
  batch.incr_by("p:u:1", 42);
  batch.expire("p:u:1", 60s);
  EXPECT_EQ(encoded(batch),
            "*3\r\n$6\r\nINCRBY\r\n$5\r\np:u:1\r\n$2\r\n42\r\n*3\r\n$6\r\nEXPIRE\r\n$5\r\np:u:1\r\n$2\r\n60\r\n");
}

TEST(RespEncoder, WritesAPing) {
  CommandBatch batch;
  batch.ping();
  EXPECT_EQ(encoded(batch), "*1\r\n$4\r\nPING\r\n");
}

TEST(RespEncoder, CountsBytesAndTrustsNone) {
  CommandBatch batch;
  batch.get("a\0\r\n\xff"s);
  EXPECT_EQ(encoded(batch), "*2\r\n$3\r\nGET\r\n$5\r\na\0\r\n\xff\r\n"s);
}

TEST(RespEncoder, WritesACursorUnsigned) {
  CommandBatch batch;
  batch.scan(~std::uint64_t{0}, "p*", 500);
  EXPECT_EQ(
      encoded(batch),
      "*6\r\n$4\r\nSCAN\r\n$20\r\n18446744073709551615\r\n$5\r\nMATCH\r\n$2\r\np*\r\n$5\r\nCOUNT\r\n$3\r\n500\r\n");
}

TEST(RespEncoder, NamesAScriptByItsHashOrItsText) {
  CommandBatch batch;
  batch.run(algorithm::kAdjustScript, "k", {-5, 0, 120}, "once");
  const std::string sha{algorithm::kAdjustScript.sha1};
  EXPECT_EQ(encoded(batch), "*8\r\n$7\r\nEVALSHA\r\n$40\r\n" + sha +
                                "\r\n$1\r\n2\r\n$1\r\nk\r\n$4\r\nonce\r\n$2\r\n-5\r\n$1\r\n0\r\n$3\r\n120\r\n");
  std::string whole;
  append_resp(whole, batch[0], ScriptForm::kEval);
  EXPECT_THAT(whole, ::testing::StartsWith("*8\r\n$4\r\nEVAL\r\n$"));
  EXPECT_THAT(whole, ::testing::HasSubstr(std::string{algorithm::kAdjustScript.source}));
}

class ReplyParserTest : public ::testing::Test {
 protected:
  std::unique_ptr<redisReader, decltype(&redisReaderFree)> reader_{redisReaderCreate(), redisReaderFree};
  ReplyParser parser_{*reader_};
  std::vector<Reply> replies_;
};

TEST_F(ReplyParserTest, ReadsEveryKindOfReply) {
  ASSERT_TRUE(parser_.feed(
      ":-7\r\n$3\r\na\r\n\r\n$-1\r\n+OK\r\n-OOM full\r\n*2\r\n$1\r\n0\r\n*2\r\n:1\r\n*-1\r\n*0\r\n", replies_));
  EXPECT_THAT(replies_,
              ::testing::ElementsAre(
                  Reply::integer(-7), Reply::string("a\r\n"), Reply{}, Reply::status("OK"), Reply::error("OOM full"),
                  Reply::array({Reply::string("0"), Reply::array({Reply::integer(1), Reply{}})}), Reply::array({})));
}

TEST_F(ReplyParserTest, ReadsAStreamThatComesByteByByte) {
  const std::string stream = "*2\r\n$2\r\n17\r\n*2\r\n$3\r\nabc\r\n:5\r\n:9223372036854775807\r\n";
  for (const char byte : stream) ASSERT_TRUE(parser_.feed({&byte, 1}, replies_));
  EXPECT_THAT(replies_, ::testing::ElementsAre(Reply::array({Reply::string("17"),
                                                             Reply::array({Reply::string("abc"), Reply::integer(5)})}),
                                               Reply::integer(std::numeric_limits<std::int64_t>::max())));
}

TEST_F(ReplyParserTest, RefusesWhatIsNoReply) { EXPECT_FALSE(parser_.feed("HTTP/1.1 200 OK\r\n", replies_)); }

TEST_F(ReplyParserTest, RefusesAnArrayThatNobodyCouldHold) {
  EXPECT_FALSE(parser_.feed("*2000000000\r\n", replies_));
  EXPECT_TRUE(replies_.empty());
}

}  // namespace
}  // namespace tollgate
