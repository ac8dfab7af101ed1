// The small pure parts of the hiredis client: what is written, what is read, when it is tried again.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "transport/expected_reply.hpp"
#include "transport/reply_parser.hpp"
#include "transport/resp_encoder.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;

std::string encoded(const CommandBatch& batch) {
  std::string out;
  append_resp(out, batch, 4711);
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

TEST(RespEncoder, WritesLengthsInBytesAndEscapesNothing) {
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

TEST(RespEncoder, SendsAScriptAsItsHashOrItsText) {
  CommandBatch batch;
  batch.run(kAdjustScript, std::vector<std::string_view>{"k", "once"}, std::vector<std::int64_t>{-5, 0, 120});
  const std::string sha{kAdjustScript.sha1};
  EXPECT_EQ(encoded(batch),
            "*9\r\n$7\r\nEVALSHA\r\n$40\r\n" + sha +
                "\r\n$1\r\n2\r\n$1\r\nk\r\n$4\r\nonce\r\n$2\r\n-5\r\n$1\r\n0\r\n$3\r\n120\r\n$4\r\n4711\r\n");
  std::string whole;
  append_resp(whole, batch[0], 4711, ScriptForm::kEval);
  EXPECT_THAT(whole, ::testing::StartsWith("*9\r\n$4\r\nEVAL\r\n$"));
  EXPECT_THAT(whole, ::testing::HasSubstr(std::string{kAdjustScript.source}));
}

class ReplyParserTest : public ::testing::Test {
 protected:
  /// How many pieces are taken before one is refused; no more than 10'000.
  int pieces_taken(const std::string& piece) {
    int count = 0;
    while (count < 10'000 && parser_.feed(piece, replies_)) ++count;
    EXPECT_TRUE(replies_.empty());
    return count;
  }

  ReplyParser parser_;
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

TEST_F(ReplyParserTest, RefusesBytesThatAreNotAReply) { EXPECT_FALSE(parser_.feed("HTTP/1.1 200 OK\r\n", replies_)); }

TEST_F(ReplyParserTest, RefusesAnArrayTooLargeForMemory) {
  EXPECT_FALSE(parser_.feed("*2000000000\r\n", replies_));
  EXPECT_TRUE(replies_.empty());
}

TEST_F(ReplyParserTest, ReadsAPageOfTheLongestNames) {
  std::string page = "*2\r\n$1\r\n0\r\n*500\r\n";
  for (int i = 0; i < 500; ++i) page += "$1024\r\n" + std::string(1024, 'n') + "\r\n";
  for (std::size_t at = 0; at < page.size(); at += 16'384) {
    ASSERT_TRUE(parser_.feed(std::string_view{page}.substr(at, 16'384), replies_));
  }
  ASSERT_EQ(replies_.size(), 1U);
  ASSERT_EQ(replies_[0].elements()[1].elements().size(), 500U);
  EXPECT_EQ(replies_[0].elements()[1].elements()[499].text().size(), 1024U);
}

TEST_F(ReplyParserTest, ConsumesALargeArrayElementByElement) {
  // Larger in all than the longest string: hiredis must not keep it until it is complete.
  std::string bytes = "*65536\r\n";
  for (int i = 0; i < 65'536; ++i) bytes += "$20\r\n" + std::string(20, 'e') + "\r\n";
  ASSERT_GT(bytes.size(), std::size_t{1} << 20U);
  for (std::size_t at = 0; at < bytes.size(); at += 16'384) {
    ASSERT_TRUE(parser_.feed(std::string_view{bytes}.substr(at, 16'384), replies_));
    EXPECT_LT(parser_.unread(), 20'000U);
  }
  ASSERT_EQ(replies_.size(), 1U);
  EXPECT_EQ(replies_[0].elements().size(), 65'536U);
}

TEST_F(ReplyParserTest, RefusesAStringThatGrowsBeyondAMebibyte) {
  ASSERT_TRUE(parser_.feed("$500000000\r\n", replies_));
  EXPECT_LE(pieces_taken(std::string(16'384, 'x')), 64);
}

TEST_F(ReplyParserTest, RefusesALineThatNeverEnds) { EXPECT_LE(pieces_taken(std::string(16'384, '+')), 64); }

TEST_F(ReplyParserTest, RefusesAnArrayThatGrowsBeyondFourMebibytes) {
  ASSERT_TRUE(parser_.feed("*65536\r\n", replies_));
  EXPECT_LE(pieces_taken("$16000\r\n" + std::string(16'000, 'x') + "\r\n"), 262);
}

TEST_F(ReplyParserTest, ReadsAnyNumberOfReplies) {
  std::string piece;
  for (int i = 0; i < 1'000; ++i) piece += ":1234567890123\r\n";
  piece += ":12345";
  for (int i = 0; i < 500; ++i) {
    ASSERT_TRUE(parser_.feed(piece, replies_));
    ASSERT_TRUE(parser_.feed("67890123\r\n", replies_));
  }
  EXPECT_EQ(replies_.size(), 500'500U);
}

class TakeAnswer : public ::testing::Test {
 protected:
  static constexpr Serial kSerial = 4711;

  /// What is left of `reply` to the last command of `batch`; an error when it cannot answer it.
  static Reply taken(const CommandBatch& batch, Reply reply) {
    return take_answer(batch[batch.size() - 1], kSerial, reply) ? reply : Reply::error("out of step");
  }
  template <class Add>
  static bool takes(Add add, Reply reply) {
    CommandBatch batch;
    add(batch);
    return take_answer(batch[0], kSerial, reply);
  }
  static void get(CommandBatch& batch) { batch.get("k"); }
  static void incr_by(CommandBatch& batch) { batch.incr_by("k", 1); }
  static void expire(CommandBatch& batch) { batch.expire("k", 60s); }
  static void unlink(CommandBatch& batch) { batch.unlink("k"); }
  static void scan(CommandBatch& batch) { batch.scan(0, "*", 500); }
  static void ping(CommandBatch& batch) { batch.ping(); }
  static void run(CommandBatch& batch) { batch.run(kAdjustScript, "k", {-5, 0}); }

  static Reply script_answer(const std::string& text) {
    CommandBatch batch;
    run(batch);
    return taken(batch, Reply::string(text));
  }
};

TEST_F(TakeAnswer, EachCommandTakesItsOwnKindOfReply) {
  const std::vector<Reply> replies{Reply{},
                                   Reply::string("10"),
                                   Reply::integer(0),
                                   Reply::integer(1),
                                   Reply::integer(2),
                                   Reply::integer(-1),
                                   Reply::status("PONG"),
                                   Reply::status("OK"),
                                   Reply::array({Reply::string("0"), Reply::array({})}),
                                   Reply::array({Reply::integer(1)}),
                                   Reply::string("10 4711"),
                                   Reply::error("ERR any")};
  const auto taken_of = [&](auto add) {
    std::string taken;
    for (const Reply& reply : replies) taken += takes(add, reply) ? 'y' : '-';
    return taken;
  };
  EXPECT_EQ(taken_of(get), "yy--------yy");
  EXPECT_EQ(taken_of(incr_by), "--yyyy-----y");
  EXPECT_EQ(taken_of(expire), "--yy-------y");
  EXPECT_EQ(taken_of(unlink), "--yy-------y");
  EXPECT_EQ(taken_of(scan), "--------y--y");
  EXPECT_EQ(taken_of(ping), "------y----y");
  EXPECT_EQ(taken_of(run), "----------yy");
}

TEST_F(TakeAnswer, AnErrorThatACommandNeverGetsIsRejected) {
  EXPECT_TRUE(takes(run, Reply::error("NOSCRIPT No matching script.")));
  for (auto* add : {get, incr_by, expire, unlink, scan, ping}) EXPECT_FALSE(takes(add, Reply::error("NOSCRIPT")));
  EXPECT_TRUE(takes(incr_by, Reply::error("OOM command not allowed")));
  EXPECT_FALSE(takes(expire, Reply::error("OOM command not allowed")));
  EXPECT_TRUE(takes(expire, Reply::error("NOPERM this user has no permissions")));
}

TEST_F(TakeAnswer, AScriptsReplyBecomesItsNumbers) {
  EXPECT_EQ(script_answer("10 4711"), Reply::integer(10));
  EXPECT_EQ(script_answer("-9007199254740991 4711"), Reply::integer(-9'007'199'254'740'991));
  EXPECT_EQ(script_answer("-96 29 4711"), Reply::array({Reply::integer(-96), Reply::integer(29)}));
}

TEST_F(TakeAnswer, AScriptsReplyMustEndInItsSerialNumber) {
  for (const char* text :
       {"10 4710", "10 47110", "10 04711 ", "10", "4711", " 4711", "", " ", "10  4711", "x 4711", "10 x 4711",
        "10 29  4711", "10 4711 4712", "10 70247", "99999999999999999999 4711", "10 -4711"}) {
    EXPECT_TRUE(script_answer(text).is_error()) << '"' << text << '"';
  }
}

}  // namespace
}  // namespace tollgate
