// What Redis refuses: a typed error, the server's words kept apart, no password anywhere, and a connection that is
// still usable where it is.

#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class ServerErrors : public FaultTest {
 protected:
  ServerError refused(RedisRateLimiter& limiter, std::int64_t tokens = 5) {
    return thrown_by<ServerError>([&] { static_cast<void>(limiter.check_and_consume("u", tokens)); });
  }
  [[nodiscard]] std::string url_with(const std::string& user_info, const std::string& path = "/0") const {
    return "redis://" + user_info + "@127.0.0.1:" + std::to_string(server_.port()) + path;
  }

  std::shared_ptr<RedisClient> client_ = connect(server_.url(), kPatient);
  RedisRateLimiter limiter_{client_, config()};
};

TEST_F(ServerErrors, AKeyThatHoldsAListIsWrongType) {
  server_.command({"RPUSH", key("u"), "x"});
  server_.command({"EXPIRE", key("u"), "60"});
  const ServerError error = refused(limiter_);
  EXPECT_EQ(error.code(), Errc::kWrongType);
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_FALSE(error.retryable());
  EXPECT_THAT(error.server_text(), ::testing::StartsWith("WRONGTYPE"));
  RedisRateLimiter atomic{client_, atomic_config()};
  EXPECT_EQ(refused(atomic).code(), Errc::kWrongType);
  EXPECT_TRUE(limiter_.check_and_consume("other", 1));
}

TEST_F(ServerErrors, AKeyThatHoldsTextIsNotACounter) {
  server_.command({"SET", key("u"), "a secret word", "EX", "60"});
  EXPECT_EQ(refused(limiter_).code(), Errc::kWrongType);
  RedisRateLimiter atomic{client_, atomic_config()};
  EXPECT_EQ(refused(atomic).code(), Errc::kWrongType);
  const auto look = thrown_by<ServerError>([&] { static_cast<void>(limiter_.get_remaining("u")); });
  EXPECT_EQ(look.code(), Errc::kWrongType);
  EXPECT_THAT(look.what(), ::testing::Not(::testing::HasSubstr("secret")));
  EXPECT_TRUE(limiter_.check_and_consume("other", 1));
}

TEST_F(ServerErrors, ACounterAtTheEndOfItsRangeIsAnOverflowErrorAndUnchanged) {
  server_.command({"SET", key("u"), "9223372036854775807", "EX", "60"});
  const ServerError error = refused(limiter_);
  EXPECT_EQ(error.code(), Errc::kOverflow);
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_FALSE(error.retryable());
  ASSERT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(limiter_.get_remaining("u"), 0);
  RedisRateLimiter atomic{client_, atomic_config()};
  EXPECT_FALSE(atomic.check_and_consume("u", 1));
  EXPECT_TRUE(limiter_.check_and_consume("other", 1));
}

TEST_F(ServerErrors, ALoadingServerIsATypedErrorUntilItIsReady) {
  testing::RedisServer slow{{"--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"}};
  slow.command({"EVAL", "for i = 1, 1000 do redis.call('SET', 'filler' .. i, 'x', 'EX', 600) end", "0"});
  ASSERT_EQ(slow.command({"SAVE"}).text(), "OK");
  RedisRateLimiter limiter{connect(slow.url(), kPatient), config()};
  std::thread restart([&] { slow.restart(); });
  std::error_code failure;
  EXPECT_TRUE(soon([&] { return (failure = limiter.try_consume("u", 1).failure) == Errc::kLoading; }));
  EXPECT_TRUE(is_retryable(failure));
  restart.join();
  EXPECT_TRUE(soon([&] { return limiter.try_consume("u", 1).allowed; }));
}

TEST_F(ServerErrors, TooFewReplicasIsAServerErrorUntilThereAreEnough) {
  server_.command({"CONFIG", "SET", "min-replicas-to-write", "1"});
  const ServerError error = refused(limiter_);
  EXPECT_THAT(error.server_text(), ::testing::StartsWith("NOREPLICAS"));
  EXPECT_FALSE(error.may_have_executed());
  server_.command({"CONFIG", "SET", "min-replicas-to-write", "0"});
  EXPECT_TRUE(limiter_.check_and_consume("u", 1));
}

TEST_F(ServerErrors, FullMemoryIsOutOfMemoryUntilThereIsRoom) {
  ASSERT_TRUE(limiter_.check_and_consume("u", 1));
  server_.command({"CONFIG", "SET", "maxmemory", "1"});
  const ServerError error = refused(limiter_);
  EXPECT_EQ(error.code(), Errc::kOutOfMemory);
  EXPECT_TRUE(error.retryable());
  EXPECT_FALSE(error.may_have_executed());
  RedisRateLimiter atomic{client_, atomic_config()};
  EXPECT_EQ(refused(atomic).code(), Errc::kOutOfMemory);
  server_.command({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(limiter_.consume("u", 1).remaining, kLimit - 2);
}

TEST_F(ServerErrors, AReplicaIsReadOnlyAndThePrimaryIsFoundAgain) {
  ASSERT_TRUE(limiter_.check_and_consume("u", 1));
  server_.command({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_EQ(refused(limiter_).code(), Errc::kReadOnly);
  server_.command({"REPLICAOF", "NO", "ONE"});
  EXPECT_EQ(limiter_.consume("u", 1).remaining, kLimit - 2);
}

TEST_F(ServerErrors, ADemotedServerIsReplacedByTheOneThatTheNameNowResolvesTo) {
  RedisRateLimiter limiter{connect(gate_.url(), kPatient), config()};
  ASSERT_TRUE(limiter.check_and_consume("u", 1));
  std::this_thread::sleep_for(1100ms);
  server_.command({"REPLICAOF", "127.0.0.1", "1"});
  EXPECT_EQ(refused(limiter).code(), Errc::kReadOnly);
  server_.command({"REPLICAOF", "NO", "ONE"});
  EXPECT_TRUE(limiter.check_and_consume("u", 1));
  EXPECT_EQ(gate_.connections(), 2);
}

TEST_F(ServerErrors, AMissingPasswordIsAuthRequired) {
  server_.command({"ACL", "SETUSER", "alice", "on", ">s3cret/p@ss", "~*", "&*", "+@all"});
  server_.command({"ACL", "SETUSER", "default", "off"});
  const ServerError error = refused(limiter_);
  EXPECT_EQ(error.code(), Errc::kAuthRequired);
  EXPECT_FALSE(error.retryable());

  RedisRateLimiter alice{connect(url_with("alice:s3cret%2Fp%40ss"), kPatient), config()};
  EXPECT_TRUE(alice.check_and_consume("u", 3));

  RedisRateLimiter wrong{connect(url_with("alice:wr0ng-s3cret"), kPatient), config()};
  const ServerError denied = refused(wrong);
  EXPECT_EQ(denied.code(), Errc::kAuthFailed);
  EXPECT_THAT(denied.what(), ::testing::Not(::testing::HasSubstr("wr0ng")));
  EXPECT_THAT(denied.what(), ::testing::Not(::testing::HasSubstr("alice")));
  EXPECT_FALSE(denied.may_have_executed());

  RedisRateLimiter restore{connect(url_with("alice:s3cret%2Fp%40ss"), kPatient), config()};
  CommandBatch none;
  EXPECT_EQ(restore.get_remaining("u"), kLimit - 3);
}

TEST_F(ServerErrors, APasswordWithoutAUserIsTheDefaultUsers) {
  server_.command({"CONFIG", "SET", "requirepass", "old style"});
  RedisRateLimiter limiter{connect(url_with(":old%20style"), kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 3));
}

TEST_F(ServerErrors, ADatabaseIsSelectedBeforeAnythingElse) {
  RedisRateLimiter limiter{connect("redis://127.0.0.1:" + std::to_string(server_.port()) + "/5", kPatient), config()};
  EXPECT_TRUE(limiter.check_and_consume("u", 3));
  EXPECT_EQ(counter("u"), 0);
  server_.command({"SWAPDB", "0", "5"});
  EXPECT_EQ(counter("u"), 3);
}

TEST_F(ServerErrors, ADatabaseThatDoesNotExistChargesNothing) {
  RedisRateLimiter limiter{connect("redis://127.0.0.1:" + std::to_string(server_.port()) + "/999", kPatient), config()};
  const ServerError error = refused(limiter);
  EXPECT_EQ(error.code(), Errc::kServerError);
  EXPECT_FALSE(error.may_have_executed());
  EXPECT_EQ(server_.command({"DBSIZE"}).to_integer(), 0);
}

TEST_F(ServerErrors, AForbiddenExpireGivesTheChargeBack) {
  server_.command({"ACL", "SETUSER", "bob", "on", ">pw", "~*", "+@all", "-expire"});
  const auto client = connect(url_with("bob:pw"), kPatient);
  server_.command({"SET", key("u"), "1", "EX", "60"});
  RedisRateLimiter limiter{client, config()};
  EXPECT_EQ(refused(limiter).code(), Errc::kPermissionDenied);
  ASSERT_TRUE(client->drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("u"), 1);
}

TEST_F(ServerErrors, PoliciesDecideInsteadOfThrowing) {
  server_.command({"CONFIG", "SET", "maxmemory", "1"});
  RedisRateLimiter allowing{client_, config(FailurePolicy::kAllow)};
  RedisRateLimiter denying{client_, config(FailurePolicy::kDeny)};
  EXPECT_TRUE(allowing.check_and_consume("u", 1));
  EXPECT_FALSE(denying.check_and_consume("u", 1));
  EXPECT_EQ(denying.consume("u", 1).failure, Errc::kOutOfMemory);
  const Decision tried = limiter_.try_consume("u", 1);
  EXPECT_FALSE(tried.allowed);
  EXPECT_EQ(tried.source, Source::kFallback);
  EXPECT_EQ(tried.failure, Errc::kOutOfMemory);
  server_.command({"CONFIG", "SET", "maxmemory", "0"});
}

}  // namespace
}  // namespace tollgate::tests
