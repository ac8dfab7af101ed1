#include "tollgate/testing/tls_certificates.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <stdexcept>
#include <system_error>

namespace tollgate::inline v0::testing {
namespace {

template <auto free_object>
struct Free {
  template <class Object>
  void operator()(Object* object) const noexcept {
    free_object(object);
  }
};
using Certificate = std::unique_ptr<X509, Free<&X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<&EVP_PKEY_free>>;
using File = std::unique_ptr<BIO, Free<&BIO_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Free<&X509_EXTENSION_free>>;

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(std::string{"test certificates: "} + what + " failed");
}

std::string make_directory() {
  std::string path = std::filesystem::temp_directory_path() / "tollgate-tls-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    throw std::runtime_error("mkdtemp " + path + ": " + std::generic_category().message(errno));
  }
  return path;
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension{X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str())};
  require(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "adding an extension");
}

/// Version 3, a random serial number, a validity and a subject.
Certificate begin_certificate(EVP_PKEY* key, const char* name, std::chrono::hours from, std::chrono::hours until) {
  Certificate certificate{X509_new()};
  require(certificate != nullptr, "making a certificate");
  std::int64_t serial = 0;
  require(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "a random number");
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set_int64(X509_get_serialNumber(certificate.get()), serial & INT64_MAX);
  const auto seconds = [](std::chrono::hours hours) { return static_cast<long>(std::chrono::seconds{hours}.count()); };
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), seconds(from));
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), seconds(until));
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  require(X509_set_pubkey(certificate.get(), key) == 1, "setting the key");
  return certificate;
}

void sign(X509* certificate, const X509* issuer, EVP_PKEY* key) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  require(X509_sign(certificate, key, EVP_sha256()) > 0, "signing");
}

File open_file(const std::string& path) {
  File file{BIO_new_file(path.c_str(), "w")};
  require(file != nullptr, "writing a file");
  return file;
}

void write_certificate(const std::string& path, X509* certificate) {
  require(PEM_write_bio_X509(open_file(path).get(), certificate) == 1, "writing a certificate");
}

void write_key(const std::string& path, EVP_PKEY* key) {
  require(PEM_write_bio_PrivateKey(open_file(path).get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "writing a key");
}

}  // namespace

struct TlsCertificates::Authority {
  Key key{EVP_EC_gen("P-256")};
  Certificate certificate = [this] {
    require(key != nullptr, "making a key");
    Certificate made =
        begin_certificate(key.get(), "tollgate test CA", std::chrono::hours{-48}, std::chrono::hours{48});
    X509* const ca = made.get();
    X509_set_issuer_name(ca, X509_get_subject_name(ca));
    add_extension(ca, ca, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(ca, ca, NID_key_usage, "critical,keyCertSign,cRLSign");
    add_extension(ca, ca, NID_subject_key_identifier, "hash");
    sign(ca, ca, key.get());
    return made;
  }();
};

TlsCertificates::TlsCertificates()
    : directory_(make_directory()),
      owner_(::getpid()),
      ca_file_(directory_ + "/ca.pem"),
      authority_(std::make_unique<const Authority>()) {
  write_certificate(ca_file_, authority_->certificate.get());
  server_ = issue({});
  client_ = issue({});
}

TlsCertificates::~TlsCertificates() {
  if (::getpid() != owner_) return;
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

TlsCertificates::Pair TlsCertificates::issue(const Request& request) {
  const Key key{EVP_EC_gen("P-256")};
  require(key != nullptr, "making a key");
  const Certificate certificate = begin_certificate(key.get(), "tollgate test", request.valid_from, request.valid_for);
  std::string names;
  for (const std::string& name : request.host_names) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  for (const std::string& address : request.addresses) names += (names.empty() ? "IP:" : ",IP:") + address;
  X509* const ca = authority_->certificate.get();
  if (!names.empty()) add_extension(certificate.get(), ca, NID_subject_alt_name, names);
  add_extension(certificate.get(), ca, NID_key_usage, "critical,digitalSignature");
  add_extension(certificate.get(), ca, NID_authority_key_identifier, "keyid");
  sign(certificate.get(), ca, authority_->key.get());

  const std::string path = directory_ + "/" + std::to_string(++issued_);
  Pair pair{path + "-cert.pem", path + "-key.pem"};
  write_certificate(pair.cert_file, certificate.get());
  write_key(pair.key_file, key.get());
  return pair;
}

}  // namespace tollgate::inline v0::testing
