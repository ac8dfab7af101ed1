// The files of TlsOptions: each that is missing, malformed or does not belong to another is named, with the reason.

#include "transport/tls_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "tls_peer.hpp"
#include "tollgate/testing/tls_certificates.hpp"
#include "transport/tls_context.hpp"

namespace tollgate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TlsCertificates;

class TlsFilesTest : public ::testing::Test {
 protected:
  /// Writes a file of that name and text.
  std::string file(const std::string& name, const std::string& text) const {
    const std::string path = certificates_.directory() + "/" + name;
    std::ofstream{path} << text;
    return path;
  }
  static std::string text_of(const std::string& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
  }
  /// Why no connection can be made with these options.
  static std::string fault(const TlsOptions& options) {
    TlsContext context{options, "localhost"};
    const auto opened = context.open();
    EXPECT_EQ(opened.engine, nullptr);
    EXPECT_EQ(opened.failure.code, Errc::kTlsFailed);
    EXPECT_FALSE(opened.failure.may_have_executed);
    return opened.failure.detail;
  }

  TlsCertificates certificates_;
};

TEST_F(TlsFilesTest, AFileThatIsMissingIsNamed) {
  EXPECT_EQ(fault({.ca_file = "/nowhere/ca.pem"}),
            "ca_file is /nowhere/ca.pem, which cannot be read: No such file or directory");
  EXPECT_THAT(fault({.ca_path = "/nowhere"}), HasSubstr("ca_path is /nowhere, which cannot be read"));
  EXPECT_THAT(fault({.ca_file = certificates_.directory()}), HasSubstr("it is not a regular file"));
  TlsOptions options{.cert_file = "/nowhere/cert.pem"};
  EXPECT_THAT(fault(options), HasSubstr("cert_file is /nowhere/cert.pem"));
  options = {.cert_file = certificates_.client().cert_file, .key_file = "/nowhere/key.pem"};
  EXPECT_THAT(fault(options), HasSubstr("key_file is /nowhere/key.pem"));
}

TEST_F(TlsFilesTest, AFileThatHoldsSomethingElseIsNamed) {
  const std::string noise = file("noise", "no certificate");
  EXPECT_EQ(fault({.ca_file = noise}), "ca_file is " + noise + ": it has no certificate in PEM form");
  EXPECT_THAT(fault({.cert_file = noise}), HasSubstr("it has no certificate in PEM form"));
  EXPECT_THAT(fault({.cert_file = certificates_.client().cert_file, .key_file = noise}),
              HasSubstr("it has no private key in PEM form"));
  EXPECT_THAT(fault({.cert_file = certificates_.client().cert_file}),
              AllOf(HasSubstr("cert_file is"), HasSubstr("it has no private key in PEM form")));
}

TEST_F(TlsFilesTest, AMalformedCertificateIsCounted) {
  const std::string good = text_of(certificates_.ca_file());
  std::string bad = good;
  bad.replace(bad.find('\n') + 1, 8, "AAAAAAAA");
  EXPECT_THAT(fault({.ca_file = file("bad", good + bad)}), HasSubstr("certificate 2 in it is malformed"));
}

TEST_F(TlsFilesTest, AnEncryptedKeyIsRefusedAndNoPasswordIsAskedFor) {
  const PemKey key = parse_private_key(text_of(certificates_.client().key_file));
  const std::string path = certificates_.directory() + "/encrypted";
  const openssl::Bio out{BIO_new_file(path.c_str(), "w")};
  const std::string password = "secret";
  ASSERT_EQ(PEM_write_bio_PrivateKey(out.get(), key.key.get(), EVP_aes_128_cbc(),
                                     reinterpret_cast<const unsigned char*>(password.data()),
                                     static_cast<int>(password.size()), nullptr, nullptr),
            1);
  BIO_flush(out.get());
  EXPECT_THAT(fault({.cert_file = certificates_.client().cert_file, .key_file = path}),
              HasSubstr("its private key is encrypted"));
}

TEST_F(TlsFilesTest, AKeyOfAnotherCertificateIsNamed) {
  EXPECT_THAT(fault({.cert_file = certificates_.client().cert_file, .key_file = certificates_.server().key_file}),
              HasSubstr("whose private key does not belong to the certificate in " + certificates_.client().cert_file));
}

TEST_F(TlsFilesTest, CertificateAndKeyMayStandInOneFile) {
  const std::string both =
      file("both", text_of(certificates_.client().key_file) + text_of(certificates_.client().cert_file));
  TlsContext context{{.cert_file = both}, "localhost"};
  EXPECT_NE(context.open().engine, nullptr);
}

TEST_F(TlsFilesTest, AFileThatHasChangedIsReadAndEarlierSessionsAreNotResumed) {
  const tests::TlsPeerContext server{certificates_.server()};
  const std::string ca = file("rotated", text_of(certificates_.ca_file()));
  TlsContext context{{.ca_file = ca}, "localhost"};
  const auto connect = [&] {
    auto client = context.open().engine;
    tests::TlsPeer peer{server};
    const auto status = peer.shake_hands(*client);
    if (status == TlsEngine::Status::kOk) {
      peer.say("x");
      client->feed(peer.output());
      auto end = status;
      EXPECT_EQ(tests::read_all(*client, end), "x");
    }
    return std::pair{status, client->is_resumed()};
  };
  EXPECT_EQ(connect(), std::pair(TlsEngine::Status::kOk, false));
  EXPECT_EQ(connect(), std::pair(TlsEngine::Status::kOk, true));
  const TlsCertificates others;
  file("rotated", text_of(others.ca_file()));
  EXPECT_EQ(connect().first, TlsEngine::Status::kFailed);
  file("rotated", text_of(others.ca_file()) + text_of(certificates_.ca_file()));
  EXPECT_EQ(connect(), std::pair(TlsEngine::Status::kOk, false));
}

TEST_F(TlsFilesTest, FaultsThatNeedNoFileAreFoundBefore) {
  EXPECT_EQ(TlsContext::fault_in({}), "");
  EXPECT_THAT(TlsContext::fault_in({.key_file = "k"}), HasSubstr("tls.key_file is set, but not tls.cert_file"));
  EXPECT_THAT(TlsContext::fault_in({.server_name = std::string(254, 'x')}), HasSubstr("254 bytes long"));
  EXPECT_THAT(TlsContext::fault_in({.ca_path = std::string("a\0b", 3)}), HasSubstr("tls.ca_path has a NUL byte"));
}

}  // namespace
}  // namespace tollgate
