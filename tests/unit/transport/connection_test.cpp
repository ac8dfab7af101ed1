// A connection over a stream that is written by the test: what it makes of bytes, silence and the end.

#include "transport/connection.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace tollgate {
namespace {

using Status = ByteStream::Status;

/// Gives what the test has scripted, one piece per call.
class ScriptedStream final : public ByteStream {
 public:
  struct State {
    std::deque<std::string> incoming;
    Status at_the_end = Status::kAgain;
    int error = 0;
    std::size_t room = 1'000'000;  // of bytes that the peer still takes
    Status when_full = Status::kAgain;
    std::string sent;
    int waits_allowed = 0;
  };

  explicit ScriptedStream(State& state) : state_(state) {}

  Result receive(std::span<char> room, bool may_wait) noexcept override {
    if (may_wait) ++state_.waits_allowed;
    if (state_.incoming.empty()) return {state_.at_the_end, 0, state_.error};
    const std::string piece = state_.incoming.front().substr(0, room.size());
    std::copy(piece.begin(), piece.end(), room.begin());
    state_.incoming.front().erase(0, piece.size());
    if (state_.incoming.front().empty()) state_.incoming.pop_front();
    return {Status::kOk, piece.size()};
  }
  Result send(std::string_view bytes) noexcept override {
    const std::size_t taken = std::min(bytes.size(), state_.room);
    if (taken == 0) return {state_.when_full};
    state_.sent += bytes.substr(0, taken);
    state_.room -= taken;
    return {Status::kOk, taken};
  }
  std::chrono::milliseconds longest_wait() const noexcept override { return std::chrono::milliseconds{20}; }
  bool wait(Time, bool) const noexcept override { return true; }
  void shut_down() noexcept override {}

 private:
  State& state_;
};

class ConnectionTest : public ::testing::Test {
 protected:
  static constexpr auto kFar = ByteStream::Time::max();

  ScriptedStream::State stream_;
  Connection connection_{std::make_unique<ScriptedStream>(stream_)};
  std::vector<Reply> replies_;
};

TEST_F(ConnectionTest, AReplyMayComeInAnyNumberOfPieces) {
  for (const char* piece : {":1", "2\r"}) {
    stream_.incoming = {piece};
    EXPECT_FALSE(connection_.receive(replies_).code);
    EXPECT_TRUE(replies_.empty());
  }
  stream_.incoming = {"\n:3\r\n"};
  EXPECT_FALSE(connection_.receive(replies_).code);
  EXPECT_THAT(replies_, ::testing::ElementsAre(Reply::integer(12), Reply::integer(3)));
}

TEST_F(ConnectionTest, SilenceIsNoFailure) { EXPECT_FALSE(connection_.receive(replies_).code); }

TEST_F(ConnectionTest, AnEndAfterRepliesIsALostConnection) {
  stream_.incoming = {":1\r\n"};
  EXPECT_FALSE(connection_.receive(replies_).code);
  stream_.at_the_end = Status::kClosed;
  const Failure failure = connection_.receive(replies_);
  EXPECT_EQ(failure.code, Errc::kConnectionLost);
  EXPECT_TRUE(failure.may_have_executed);
  EXPECT_EQ(failure.detail, "Redis closed it");
}

TEST_F(ConnectionTest, AnEndBeforeTheFirstByteHintsAtTls) {
  stream_.at_the_end = Status::kFailed;
  stream_.error = ECONNRESET;
  const Failure failure = connection_.receive(replies_);
  EXPECT_EQ(failure.code, Errc::kConnectionLost);
  EXPECT_THAT(failure.detail, ::testing::HasSubstr("reset"));
  EXPECT_THAT(failure.detail, ::testing::HasSubstr("rediss://"));
}

TEST_F(ConnectionTest, BytesThatAreNotAReplyAreAProtocolFailure) {
  stream_.incoming = {"HTTP/1.1 400 Bad Request\r\n"};
  EXPECT_EQ(connection_.receive(replies_).code, Errc::kProtocol);
}

TEST_F(ConnectionTest, OnlyTheFirstReadOfAWaitMayWait) {
  const std::string long_string = "$20000\r\n" + std::string(20'000, 'x') + "\r\n";  // takes two reads
  stream_.incoming = {long_string};
  EXPECT_FALSE(connection_.wait_and_receive(kFar, false, replies_).code);
  EXPECT_EQ(replies_.size(), 1U);
  EXPECT_EQ(stream_.waits_allowed, 1);
}

TEST_F(ConnectionTest, SendsWhatThePeerTakesAndReportsHowMuch) {
  connection_.outgoing = "0123456789";
  stream_.room = 4;
  EXPECT_EQ(connection_.send(), 4U);
  EXPECT_EQ(stream_.sent, "0123");
  EXPECT_FALSE(connection_.closing);
}

TEST_F(ConnectionTest, NothingIsSentAfterAFailedSend) {
  connection_.outgoing = "x";
  stream_.room = 0;
  stream_.when_full = Status::kFailed;
  EXPECT_EQ(connection_.send(), 0U);
  EXPECT_TRUE(connection_.closing);
}

}  // namespace
}  // namespace tollgate
