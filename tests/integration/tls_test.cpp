// TLS with a real redis-server: what is verified, sessions, client certificates, and what each failure says.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "faults/tcp_gate.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "tollgate/testing/tls_certificates.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::RedisServer;
using testing::TlsCertificates;

class Tls : public ::testing::Test {
 protected:
  [[nodiscard]] ClientOptions options(TlsOptions tls) const {
    ClientOptions options{.connect_timeout = 5s, .command_timeout = 5s};
    options.tls = std::move(tls);
    return options;
  }
  [[nodiscard]] TlsOptions trusting() const { return {.ca_file = certificates_.ca_file()}; }
  static std::string url_of(const RedisServer& server, const std::string& host = "127.0.0.1") {
    return "rediss://" + host + ":" + std::to_string(server.port());
  }

  /// The message of the error, which is one of the configuration, and after which nothing is charged.
  static std::string error_of(const std::string& url, const ClientOptions& options) {
    const auto client = connect(url, options);
    RedisRateLimiter limiter{client};
    try {
      static_cast<void>(limiter.check_and_consume("user", 5));
    } catch (const ConnectionError& error) {
      EXPECT_EQ(error.code(), Errc::kTlsFailed) << error.what();
      EXPECT_TRUE(error.misconfiguration());
      EXPECT_FALSE(error.retryable());
      EXPECT_FALSE(error.may_have_executed());
      return error.what();
    }
    return "no error";
  }

  /// Whether `holds` becomes true within 5 s: after a failure the circuit is open for a moment.
  template <class Holds>
  static bool soon(Holds holds) {
    for (const auto end = std::chrono::steady_clock::now() + 5s; std::chrono::steady_clock::now() < end;) {
      if (holds()) return true;
    }
    return false;
  }

  TlsCertificates certificates_;
};

TEST_F(Tls, ALimiterWorksByAddressAndByName) {
  const RedisServer server{certificates_};
  for (const char* host : {"127.0.0.1", "localhost"}) {
    RedisRateLimiter limiter{connect(url_of(server, host), options(trusting()))};
    EXPECT_TRUE(limiter.check_and_consume(host, 3));
    EXPECT_EQ(limiter.get_remaining(host), 9'997);
  }
}

TEST_F(Tls, LogsInAndSelectsBehindTheHandshake) {
  const RedisServer server{certificates_, {"--requirepass", "secret"}};
  RedisRateLimiter limiter{
      connect("rediss://:secret@127.0.0.1:" + std::to_string(server.port()) + "/3", options(trusting()))};
  EXPECT_TRUE(limiter.check_and_consume("user", 3));
  EXPECT_THAT(server.command({"INFO", "keyspace"}).text(), HasSubstr("db3:keys=1"));
}

TEST_F(Tls, ASecondConnectionResumesTheSessionOfTheFirst) {
  constexpr std::size_t kLeastCertificate = 300;  // bytes
  for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
    const RedisServer server{certificates_, {"--tls-protocols", version}};
    tests::TcpGate gate{server.port()};
    RedisRateLimiter limiter{connect("rediss://127.0.0.1:" + std::to_string(gate.port()), options(trusting()))};
    ASSERT_TRUE(limiter.check_and_consume("user", 1));
    const std::size_t whole = gate.reply_bytes();
    gate.cut();
    ASSERT_TRUE(soon([&] { return limiter.try_consume("user", 1).allowed; })) << version;
    // The second handshake came without the server's certificate.
    EXPECT_LT(gate.reply_bytes() - whole, whole - kLeastCertificate) << version;
  }
}

TEST_F(Tls, NoVersionBelow12IsSpoken) {
  const RedisServer server{certificates_, {"--tls-protocols", "TLSv1.1", "--tls-ciphers", "DEFAULT:@SECLEVEL=0"}};
  EXPECT_THAT(error_of(url_of(server), options(trusting())), HasSubstr("speaks neither TLS 1.2 nor TLS 1.3"));
}

TEST_F(Tls, VersionTwelveIsSpokenWhereThereIsNoNewer) {
  const RedisServer server{certificates_, {"--tls-protocols", "TLSv1.2"}};
  RedisRateLimiter limiter{connect(url_of(server), options(trusting()))};
  EXPECT_TRUE(limiter.check_and_consume("user", 3));
}

// --- failures --------------------------------------------------------------------------------------------------------

TEST_F(Tls, AnUnknownCaIsNamed) {
  const RedisServer server{certificates_};
  const std::string message = error_of(url_of(server), options({}));
  EXPECT_THAT(message, AllOf(HasSubstr("tollgate: no TLS connection to Redis: rediss://127.0.0.1:"),
                             HasSubstr("a CA that is not trusted; set ca_file or ca_path"),
                             HasSubstr("this is a configuration error, not an outage")));
}

TEST_F(Tls, AWrongHostNameIsNamedBesideTheCertificates) {
  const RedisServer server{certificates_};
  TlsOptions tls = trusting();
  tls.server_name = "redis.internal";
  EXPECT_THAT(error_of(url_of(server), options(tls)),
              HasSubstr("is for localhost, 127.0.0.1, ::1, and not for the host name redis.internal"));
}

TEST_F(Tls, AWrongAddressIsNamedBesideTheCertificates) {
  const auto named = certificates_.issue({.addresses = {"10.1.2.3"}});
  const RedisServer server{certificates_, {"--tls-cert-file", named.cert_file, "--tls-key-file", named.key_file}};
  EXPECT_THAT(error_of(url_of(server), options(trusting())),
              HasSubstr("is for localhost, 10.1.2.3, and not for the address 127.0.0.1"));
}

TEST_F(Tls, AnExpiredCertificateIsNamedWithItsDate) {
  const auto expired = certificates_.issue({.valid_from = -10h, .valid_for = -1h});
  const RedisServer server{certificates_, {"--tls-cert-file", expired.cert_file, "--tls-key-file", expired.key_file}};
  EXPECT_THAT(error_of(url_of(server), options(trusting())), HasSubstr("the server's certificate expired on 20"));
}

TEST_F(Tls, AClientCertificateThatIsMissingIsAskedFor) {
  for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
    const RedisServer server{certificates_, {"--tls-auth-clients", "yes", "--tls-protocols", version}};
    EXPECT_THAT(error_of(url_of(server), options(trusting())), HasSubstr("set cert_file and key_file")) << version;
    EXPECT_EQ(server.command({"DBSIZE"}), Reply::integer(0));
  }
}

TEST_F(Tls, AClientCertificateThatIsRefusedIsNamed) {
  const TlsCertificates others;
  TlsOptions tls = trusting();
  tls.cert_file = others.client().cert_file;
  tls.key_file = others.client().key_file;
  for (const char* version : {"TLSv1.2", "TLSv1.3"}) {
    const RedisServer server{certificates_, {"--tls-auth-clients", "yes", "--tls-protocols", version}};
    EXPECT_THAT(error_of(url_of(server), options(tls)), HasSubstr("refused the client certificate in " + tls.cert_file))
        << version;
  }
}

TEST_F(Tls, AClientCertificateIsReadAgainAtEachConnect) {
  const RedisServer server{certificates_, {"--tls-auth-clients", "yes"}};
  const TlsCertificates others;
  TlsOptions tls = trusting();
  tls.cert_file = certificates_.directory() + "/rotated-cert.pem";
  tls.key_file = certificates_.directory() + "/rotated-key.pem";
  const auto install = [&](const TlsCertificates::Pair& pair) {
    constexpr auto kOver = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(pair.cert_file, tls.cert_file, kOver);
    std::filesystem::copy_file(pair.key_file, tls.key_file, kOver);
  };
  install(others.client());
  RedisRateLimiter limiter{connect(url_of(server), options(tls))};
  EXPECT_EQ(limiter.try_consume("user", 1).failure, Errc::kTlsFailed);
  install(certificates_.client());
  EXPECT_TRUE(soon([&] { return limiter.try_consume("user", 1).allowed; }));
}

// Redis waits for the end of a line, and the first bytes of a handshake are none.
TEST_F(Tls, AServerWithoutTlsIsSuspectedWhenItDoesNotAnswer) {
  const RedisServer server;
  ClientOptions quick = options(trusting());
  quick.connect_timeout = 100ms;
  RedisRateLimiter limiter{connect(url_of(server), quick)};
  try {
    limiter.ping();
    ADD_FAILURE() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_EQ(error.code(), Errc::kConnectFailed);
    EXPECT_THAT(error.what(),
                HasSubstr("does the server speak TLS on this port, or does the URL have to be redis://?"));
  }
}

TEST_F(Tls, AServerWithTlsIsSuggestedToAPlainClient) {
  const RedisServer server{certificates_};
  RedisRateLimiter limiter{connect("redis://127.0.0.1:" + std::to_string(server.port()), options({}))};
  try {
    limiter.ping();
    ADD_FAILURE() << "no error";
  } catch (const ConnectionError& error) {
    EXPECT_THAT(error.what(), HasSubstr("does it expect TLS (rediss://)?"));
  }
}

TEST_F(Tls, AFileThatCannotBeReadIsNamedAtConnect) {
  const RedisServer server{certificates_};
  EXPECT_THAT(error_of(url_of(server), options({.ca_file = "/nowhere/ca.pem"})),
              HasSubstr("ca_file is /nowhere/ca.pem, which cannot be read: No such file or directory"));
}

TEST_F(Tls, AKeyWithoutACertificateIsABadArgument) {
  EXPECT_THROW(static_cast<void>(connect("rediss://localhost", options({.key_file = "key.pem"}))),
               std::invalid_argument);
}

TEST_F(Tls, NoMessageHasAPassword) {
  const RedisServer server{certificates_};
  const std::string message =
      error_of("rediss://user:hidden-word@127.0.0.1:" + std::to_string(server.port()), options({}));
  EXPECT_THAT(message, Not(HasSubstr("hidden-word")));
}

TEST_F(Tls, LimitersWithOtherCasDoNotShareAClient) {
  EXPECT_NE(connect_shared("rediss://localhost", options({.ca_file = "a"})),
            connect_shared("rediss://localhost", options({.ca_file = "b"})));
  const auto one = connect_shared("rediss://localhost", options({.ca_file = "a"}));
  EXPECT_EQ(one, connect_shared("rediss://localhost", options({.ca_file = "a"})));
}

}  // namespace
}  // namespace tollgate
