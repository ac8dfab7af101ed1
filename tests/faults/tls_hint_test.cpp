// A client without TLS at a server that expects it loses its connection before the first reply: the error suggests TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kHint = "does it expect TLS (rediss://)?";

class TlsHint : public FaultTest {
 protected:
  static std::string error_of_ping(const std::string& url) {
    RedisRateLimiter limiter{url};
    return thrown_by<ConnectionError>([&] { limiter.ping(); }).what();
  }

  [[nodiscard]] std::string error_of_ping() const { return error_of_ping(gate_.url()); }
};

TEST_F(TlsHint, IsGivenWhenTheFirstRequestResetsTheConnection) {
  gate_.cut_after_request_bytes(1);
  EXPECT_THAT(error_of_ping(), HasSubstr(kHint));
}

TEST_F(TlsHint, IsGivenWhenTheHandshakeOfADatabaseFails) {
  gate_.cut_after_request_bytes(1);
  EXPECT_THAT(error_of_ping("redis://127.0.0.1:" + std::to_string(gate_.port()) + "/1"), HasSubstr(kHint));
}

TEST_F(TlsHint, IsGivenWhenTheServerSendsATlsAlert) {
  gate_.insert_into_replies({"\x15\x03\x03\x00\x02\x02\x46", 7});
  EXPECT_THAT(error_of_ping(), HasSubstr(kHint));
}

TEST_F(TlsHint, IsNotGivenOnceRedisHasReplied) {
  const auto client = connect(gate_.url(), kPatient);
  RedisRateLimiter limiter{client, config()};
  limiter.ping();
  gate_.cut_after_request_bytes(1);
  const std::string error = thrown_by<ConnectionError>([&] { limiter.record("user", 1); }).what();
  EXPECT_THAT(error, HasSubstr("the connection to Redis was lost"));
  EXPECT_THAT(error, Not(HasSubstr("TLS")));
}

}  // namespace
}  // namespace tollgate::tests
