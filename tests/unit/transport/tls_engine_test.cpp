// The client's side of TLS against OpenSSL's server in memory: what is verified, what a peer may do in the middle of
// replies, and which errors have which texts.

#include "transport/tls_engine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <memory>
#include <string>

#include "tls_peer.hpp"
#include "transport/tls_context.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Status = TlsEngine::Status;
using testing::TlsCertificates;
using tests::read_all;
using tests::TlsPeer;
using tests::TlsPeerContext;

class TlsEngineTest : public ::testing::TestWithParam<int> {
 protected:
  static void SetUpTestSuite() { certificates_ = std::make_unique<TlsCertificates>(); }
  static void TearDownTestSuite() { certificates_.reset(); }

  static TlsCertificates& certificates() { return *certificates_; }
  [[nodiscard]] static TlsOptions trusting() { return {.ca_file = certificates().ca_file()}; }

  /// Shakes hands.
  void connect() {
    client_ = context_.open().engine;
    peer_ = std::make_unique<TlsPeer>(server_);
    ASSERT_EQ(peer_->shake_hands(*client_), Status::kOk) << client_->failure().detail;
  }

  [[nodiscard]] std::string read() { return read_all(*client_, status_); }

  TlsPeerContext server_{certificates().server(), GetParam()};
  TlsContext context_{trusting(), "localhost"};
  std::unique_ptr<TlsEngine> client_;
  std::unique_ptr<TlsPeer> peer_;
  Status status_ = Status::kOk;

 private:
  static inline std::unique_ptr<TlsCertificates> certificates_;
};

INSTANTIATE_TEST_SUITE_P(, TlsEngineTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& version) { return version.param == TLS1_2_VERSION ? "Tls12" : "Tls13"; });

TEST_P(TlsEngineTest, BytesGoBothWays) {
  connect();
  EXPECT_EQ(client_->write("PING\r\n").count, 6U);
  peer_->take(*client_);
  EXPECT_EQ(peer_->heard(), "PING\r\n");
  peer_->say("+PONG\r\n");
  client_->feed(peer_->output());
  EXPECT_EQ(read(), "+PONG\r\n");
  EXPECT_EQ(status_, Status::kNeedsInput);
}

TEST_P(TlsEngineTest, BytesMayComeInAnyPieces) {
  connect();
  peer_->say("+first\r\n");
  peer_->say("+second\r\n");
  std::string received;
  for (const char byte : peer_->output()) {
    client_->feed({&byte, 1});
    received += read();
    ASSERT_EQ(status_, Status::kNeedsInput);
  }
  EXPECT_EQ(received, "+first\r\n+second\r\n");
}

TEST_P(TlsEngineTest, ManyRecordsAreReadWhateverTheRoom) {
  connect();
  std::string sent;
  for (int record = 0; record < 100; ++record) sent += "+record " + std::to_string(record) + "\r\n";
  for (std::size_t at = 0; at < sent.size(); at += 7) peer_->say(std::string_view{sent}.substr(at, 7));
  client_->feed(peer_->output());
  std::string received;
  std::array<char, 3> room{};
  EXPECT_FALSE(client_->needs_input());
  while (!client_->needs_input()) {
    const auto result = client_->read(room);
    received.append(room.data(), result.count);
  }
  EXPECT_EQ(received, sent);
}

TEST_P(TlsEngineTest, AWriteIsOneRecordAtMost) {
  connect();
  EXPECT_EQ(client_->write(std::string(100'000, 'x')).count, TlsEngine::kMaxRecord);
}

TEST_P(TlsEngineTest, CloseNotifyIsAnEndAfterWhatCameBefore) {
  connect();
  peer_->say("+last\r\n");
  SSL_shutdown(peer_->ssl());
  client_->feed(peer_->output());
  EXPECT_EQ(read(), "+last\r\n");
  EXPECT_EQ(status_, Status::kClosed);
  EXPECT_FALSE(client_->needs_input());  // the end is found again without more input
}

TEST_P(TlsEngineTest, ClosingTellsThePeer) {
  connect();
  client_->close();
  peer_->take(*client_);
  EXPECT_EQ(peer_->heard(), "");
  EXPECT_EQ(SSL_get_shutdown(peer_->ssl()) & SSL_RECEIVED_SHUTDOWN, SSL_RECEIVED_SHUTDOWN);
}

TEST_P(TlsEngineTest, ADamagedRecordFailsAndStaysFailed) {
  connect();
  peer_->say("+PONG\r\n");
  std::string damaged = peer_->output();
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  client_->feed(damaged);
  EXPECT_EQ(read(), "");
  EXPECT_EQ(status_, Status::kFailed);
  EXPECT_EQ(client_->failure().code, Errc::kTlsFailed);
  EXPECT_EQ(client_->write("x").status, Status::kFailed);
  EXPECT_GT(client_->output_size(), 0U);  // the alert
}

TEST_P(TlsEngineTest, ASessionIsResumed) {
  connect();
  EXPECT_FALSE(client_->is_resumed());
  peer_->say("x");  // with TLS 1.3 the tickets come before it
  client_->feed(peer_->output());
  EXPECT_EQ(read(), "x");
  connect();
  EXPECT_TRUE(client_->is_resumed());
  EXPECT_EQ(SSL_session_reused(peer_->ssl()), 1);
}

TEST_P(TlsEngineTest, AConnectionLeavesTheErrorQueueOfTheApplicationAsItWas) {
  connect();
  EXPECT_EQ(read(), "");  // with TLS 1.3 the tickets, which OpenSSL processes as a handshake
  ERR_clear_error();
  ERR_raise(ERR_LIB_USER, 42);
  const auto left = ERR_peek_last_error();
  EXPECT_EQ(client_->write("x").status, Status::kOk);
  EXPECT_EQ(read(), "");
  EXPECT_EQ(status_, Status::kNeedsInput);  // the application's error is not taken for the connection's
  client_->feed(std::string(5 + 32, '\x17'));
  EXPECT_EQ(read(), "");
  EXPECT_EQ(status_, Status::kFailed);
  EXPECT_EQ(ERR_get_error(), left);
  EXPECT_EQ(ERR_get_error(), 0U);
}

TEST_P(TlsEngineTest, TheNameIsVerifiedAndBothNamesAreInTheMessage) {
  TlsContext other{trusting(), "redis.internal"};
  const auto client = other.open().engine;
  TlsPeer peer{server_};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
  EXPECT_EQ(client->failure().code, Errc::kTlsFailed);
  EXPECT_THAT(client->failure().detail, HasSubstr("is for localhost, 127.0.0.1, ::1, and not for the host name "
                                                  "redis.internal; connect by a name that it has, or set server_name"));
}

TEST_P(TlsEngineTest, TheServerNameIsVerifiedInPlaceOfTheHost) {
  TlsOptions options = trusting();
  options.server_name = "localhost";
  TlsContext named{options, "10.0.0.7"};
  const auto client = named.open().engine;
  TlsPeer peer{server_};
  EXPECT_EQ(peer.shake_hands(*client), Status::kOk) << client->failure().detail;
  EXPECT_STREQ(SSL_get_servername(peer.ssl(), TLSEXT_NAMETYPE_host_name), "localhost");
}

TEST_P(TlsEngineTest, AnAddressIsVerifiedAsAnAddressAndIsNoServerName) {
  for (const auto& [host, accepted] : {std::pair{"127.0.0.1", true}, {"::1", true}, {"127.0.0.2", false}}) {
    TlsContext by_address{trusting(), host};
    const auto client = by_address.open().engine;
    TlsPeer peer{server_};
    EXPECT_EQ(peer.shake_hands(*client), accepted ? Status::kOk : Status::kFailed) << host;
    EXPECT_EQ(SSL_get_servername(peer.ssl(), TLSEXT_NAMETYPE_host_name), nullptr);
    if (accepted) continue;
    EXPECT_THAT(client->failure().detail, HasSubstr("and not for the address 127.0.0.2"));
  }
}

TEST_P(TlsEngineTest, ACertificateForTheNameAloneDoesNotServeAnAddress) {
  const TlsPeerContext named{certificates().issue({.host_names = {"127.0.0.1"}, .addresses = {}}), GetParam()};
  TlsContext by_address{trusting(), "127.0.0.1"};
  const auto client = by_address.open().engine;
  TlsPeer peer{named};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
}

TEST_P(TlsEngineTest, AnUnknownCaIsNamedWithTheOptionThatChangesIt) {
  TlsCertificates others;
  const TlsPeerContext untrusted{others.server(), GetParam()};
  const auto client = context_.open().engine;
  TlsPeer peer{untrusted};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
  EXPECT_THAT(client->failure().detail,
              HasSubstr("was issued by tollgate test CA, a CA that is not trusted; set ca_file or ca_path"));
}

TEST_P(TlsEngineTest, WithoutAnOptionTheSystemsCasAreTrusted) {
  TlsContext by_system{{}, "localhost"};
  const auto client = by_system.open().engine;
  TlsPeer peer{server_};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
  EXPECT_THAT(client->failure().detail, HasSubstr("(trusted are the system's)"));
}

TEST_P(TlsEngineTest, AnExpiredCertificateIsRefusedWithItsDate) {
  const TlsPeerContext expired{certificates().issue({.valid_from = -10h, .valid_for = -1h}), GetParam()};
  const auto client = context_.open().engine;
  TlsPeer peer{expired};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
  EXPECT_THAT(client->failure().detail, ::testing::ContainsRegex("the server's certificate expired on 20[0-9-]+ "));
}

TEST_P(TlsEngineTest, ACertificateOfTheFutureIsRefused) {
  const TlsPeerContext early{certificates().issue({.valid_from = 5h}), GetParam()};
  const auto client = context_.open().engine;
  TlsPeer peer{early};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
  EXPECT_THAT(client->failure().detail, HasSubstr("is valid from"));
}

TEST_P(TlsEngineTest, WithoutVerificationAnyCertificateIsTaken) {
  TlsContext careless{{.verify = false}, "elsewhere"};
  const auto client = careless.open().engine;
  TlsPeer peer{server_};
  EXPECT_EQ(peer.shake_hands(*client), Status::kOk);
}

TEST_P(TlsEngineTest, ASessionOfAnExpiredCertificateIsNotResumed) {
  // Verified it would be refused, so this connection is made without.
  TlsContext careless{{.verify = false}, "localhost"};
  const TlsPeerContext expired{certificates().issue({.valid_from = -10h, .valid_for = -1h}), GetParam()};
  for (int i = 0; i < 2; ++i) {
    const auto client = careless.open().engine;
    TlsPeer peer{expired};
    ASSERT_EQ(peer.shake_hands(*client), Status::kOk);
    peer.say("x");
    client->feed(peer.output());
    EXPECT_EQ(read_all(*client, status_), "x");
    EXPECT_FALSE(client->is_resumed()) << i;
  }
}

TEST_P(TlsEngineTest, AClientCertificateThatIsMissingIsAskedFor) {
  const TlsPeerContext strict{certificates().server(), GetParam(), certificates().ca_file()};
  const auto client = context_.open().engine;
  TlsPeer peer{strict};
  static_cast<void>(peer.shake_hands(*client));  // with TLS 1.3 complete for the client
  EXPECT_EQ(read_all(*client, status_), "");
  EXPECT_EQ(status_, Status::kFailed);
  EXPECT_THAT(client->failure().detail,
              HasSubstr("the server refused a client without a certificate; set cert_file and key_file"));
}

TEST_P(TlsEngineTest, AClientCertificateThatIsRefusedIsNamed) {
  const TlsPeerContext strict{certificates().server(), GetParam(), certificates().ca_file()};
  TlsCertificates others;
  TlsOptions options = trusting();
  options.cert_file = others.client().cert_file;
  options.key_file = others.client().key_file;
  TlsContext foreign{options, "localhost"};
  const auto client = foreign.open().engine;
  TlsPeer peer{strict};
  static_cast<void>(peer.shake_hands(*client));
  EXPECT_EQ(read_all(*client, status_), "");
  EXPECT_THAT(client->failure().detail, HasSubstr("refused the client certificate in " + options.cert_file));
}

TEST_P(TlsEngineTest, AClientCertificateThatTheServerTrustsIsTaken) {
  const TlsPeerContext strict{certificates().server(), GetParam(), certificates().ca_file()};
  TlsOptions options = trusting();
  options.cert_file = certificates().client().cert_file;
  options.key_file = certificates().client().key_file;
  TlsContext own{options, "localhost"};
  const auto client = own.open().engine;
  TlsPeer peer{strict};
  EXPECT_EQ(peer.shake_hands(*client), Status::kOk);
  EXPECT_EQ(read_all(*client, status_), "");
  EXPECT_EQ(status_, Status::kNeedsInput) << client->failure().detail;
}

TEST_P(TlsEngineTest, AServerWithoutTlsIsRecognisedByItsFirstByte) {
  const auto client = context_.open().engine;
  EXPECT_EQ(client->handshake(), Status::kNeedsInput);
  client->feed("-ERR unknown command\r\n");
  EXPECT_EQ(client->handshake(), Status::kFailed);
  EXPECT_THAT(client->failure().detail, HasSubstr("answered without TLS"));
}

TEST_P(TlsEngineTest, AServerOfAnOldVersionIsRefused) {
  const TlsPeerContext old{certificates().server(), TLS1_1_VERSION};
  const auto client = context_.open().engine;
  TlsPeer peer{old};
  EXPECT_EQ(peer.shake_hands(*client), Status::kFailed);
  EXPECT_THAT(client->failure().detail, HasSubstr("the server speaks neither TLS 1.2 nor TLS 1.3"));
}

TEST_P(TlsEngineTest, AnEndOfTheHandshakeIsExplainedByWhetherACertificateWasAskedFor) {
  const auto client = context_.open().engine;
  EXPECT_EQ(client->ended_in_handshake("closed").code, Errc::kConnectFailed);
  const TlsPeerContext strict{certificates().server(), GetParam(), certificates().ca_file()};
  TlsPeer peer{strict};
  static_cast<void>(client->handshake());
  peer.take(*client);
  client->feed(peer.output());
  static_cast<void>(client->handshake());
  EXPECT_EQ(client->ended_in_handshake("closed").code, Errc::kTlsFailed);
  EXPECT_EQ(client->ended_in_handshake("closed").detail,
            "closed after the server had asked for a client certificate; set cert_file and key_file");
}

// --- in the middle of replies ----------------------------------------------------------------------------------------

TEST_P(TlsEngineTest, KeyUpdatesAndTicketsInTheMiddleOfRepliesAreHandled) {
  if (GetParam() == TLS1_2_VERSION) return;  // it has neither
  connect();
  std::string expected;
  for (int i = 0; i < 10; ++i) {
    const std::string reply = ":" + std::to_string(i) + "\r\n";
    peer_->say(reply.substr(0, 1));
    ASSERT_EQ(SSL_key_update(peer_->ssl(), i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    ASSERT_EQ(SSL_do_handshake(peer_->ssl()), 1);
    ASSERT_EQ(SSL_new_session_ticket(peer_->ssl()), 1);
    peer_->say(reply.substr(1));
    expected += reply;
  }
  client_->feed(peer_->output());
  EXPECT_EQ(read(), expected);
  EXPECT_EQ(status_, Status::kNeedsInput);

  EXPECT_GT(client_->output_size(), 0U);  // our own key updates, in front of what is written next
  ASSERT_EQ(client_->write("PING\r\n").status, Status::kOk);
  peer_->take(*client_);
  EXPECT_EQ(peer_->heard(), "PING\r\n");
}

TEST_P(TlsEngineTest, APeerThatRequestsAnswersAndNeverReadsIsGivenUp) {
  if (GetParam() == TLS1_2_VERSION) return;
  connect();
  for (int i = 0; i < 100'000 && status_ != Status::kFailed; ++i) {
    SSL_key_update(peer_->ssl(), SSL_KEY_UPDATE_REQUESTED);
    SSL_do_handshake(peer_->ssl());
    client_->feed(peer_->output());
    EXPECT_EQ(read(), "");
  }
  EXPECT_THAT(client_->failure().detail, HasSubstr("does not read them"));
}

TEST_P(TlsEngineTest, ARenegotiationIsRefusedAndTheConnectionGoesOn) {
  if (GetParam() == TLS1_3_VERSION) return;  // it has none
  connect();
  ASSERT_EQ(SSL_renegotiate(peer_->ssl()), 1);
  SSL_do_handshake(peer_->ssl());  // writes the request
  client_->feed(peer_->output());
  EXPECT_EQ(read(), "");
  EXPECT_EQ(status_, Status::kNeedsInput);
  EXPECT_EQ(client_->write("PING\r\n").status, Status::kOk);
}

}  // namespace
}  // namespace tollgate
