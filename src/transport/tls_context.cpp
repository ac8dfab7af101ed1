#include "transport/tls_context.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include <new>
#include <utility>

#include "transport/tls_failure.hpp"

namespace tollgate::inline v0 {
namespace {

/// The session callback; what it returns says that it keeps the reference.
int keep_session(SSL* ssl, SSL_SESSION* session) noexcept {
  static_cast<TlsEngine*>(SSL_get_app_data(ssl))->add_session(openssl::Session{session});
  return 1;
}

/// Of all texts and their lengths.
std::array<unsigned char, 32> digest_of(const TlsFiles& files) {
  struct FreeDigest {
    void operator()(EVP_MD_CTX* digest) const noexcept { EVP_MD_CTX_free(digest); }
  };
  const std::unique_ptr<EVP_MD_CTX, FreeDigest> digest{EVP_MD_CTX_new()};
  std::array<unsigned char, 32> out{};
  bool is_made = digest && EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) == 1;
  for (const std::string* text : {&files.ca, &files.certificate, &files.key}) {
    const std::size_t size = text->size();
    is_made = is_made && EVP_DigestUpdate(digest.get(), &size, sizeof size) == 1 &&
              EVP_DigestUpdate(digest.get(), text->data(), size) == 1;
  }
  if (!is_made || EVP_DigestFinal_ex(digest.get(), out.data(), nullptr) != 1) throw std::bad_alloc{};
  return out;
}

/// Makes `ssl` verify that the certificate is for `name`, and ask for the certificate of that name (SNI).
bool expect_name(SSL* ssl, const std::string& name, bool verify) {
  const bool by_address = is_address(name);
  if (!by_address && SSL_set_tlsext_host_name(ssl, name.c_str()) != 1) return false;
  if (!verify) return true;
  X509_VERIFY_PARAM* const parameters = SSL_get0_param(ssl);
  if (by_address) return X509_VERIFY_PARAM_set1_ip_asc(parameters, name.c_str()) == 1;
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(parameters, name.data(), name.size()) == 1;
}

}  // namespace

TlsContext::TlsContext(TlsOptions options, const std::string& host)
    : options_(std::move(options)), name_(name_to_verify(options_, host)) {
  openssl::start();
}

std::string TlsContext::fault_in(const TlsOptions& options) {
  if (!options.key_file.empty() && options.cert_file.empty()) {
    return "tls.key_file is set, but not tls.cert_file; a client certificate needs both";
  }
  const std::pair<const char*, const std::string*> texts[] = {{"ca_file", &options.ca_file},
                                                              {"ca_path", &options.ca_path},
                                                              {"cert_file", &options.cert_file},
                                                              {"key_file", &options.key_file},
                                                              {"server_name", &options.server_name}};
  for (const auto& [field, text] : texts) {
    if (text->find('\0') != std::string::npos) return fmt::format("tls.{} has a NUL byte; it must have none", field);
  }
  constexpr std::size_t kMaxNameBytes = 253;
  if (options.server_name.size() > kMaxNameBytes) {
    return fmt::format("tls.server_name is {} bytes long; it must be at most {} bytes", options.server_name.size(),
                       kMaxNameBytes);
  }
  return {};
}

TlsContext::Opened TlsContext::open() {
  if (openssl::has_ended()) return {nullptr, {Errc::kConnectFailed, false, "OpenSSL has ended with the program"}};
  const TlsFiles files = read_tls_files(options_);
  if (!files.error.empty()) return {nullptr, {Errc::kTlsFailed, false, files.error}};

  const openssl::ErrorScope errors;
  const Digest digest = digest_of(files);
  const std::lock_guard lock{mutex_};
  if (!context_ || digest != digest_) {
    Made made = make_context(files);
    if (!made.error.empty()) return {nullptr, {Errc::kTlsFailed, false, std::move(made.error)}};
    context_ = std::move(made.context);
    digest_ = digest;
    sessions_->clear();
  }
  openssl::Ssl ssl{SSL_new(context_.get())};
  if (!ssl) throw std::bad_alloc{};
  if (!expect_name(ssl.get(), name_, options_.verify)) {
    return {nullptr, {Errc::kTlsFailed, false, "server_name cannot be the name in a certificate"}};
  }
  if (const openssl::Session session = sessions_->take()) SSL_set_session(ssl.get(), session.get());
  return {std::make_unique<TlsEngine>(std::move(ssl), name_, options_, sessions_)};
}

TlsContext::Made TlsContext::make_context(const TlsFiles& files) const {
  Made made{openssl::Context{SSL_CTX_new(TLS_client_method())}};
  SSL_CTX* const context = made.context.get();
  if (context == nullptr) return {nullptr, fmt::format("OpenSSL has no TLS: {}", openssl::ErrorScope::reason())};
  // The system's configuration may ask for more.
  if (SSL_CTX_get_min_proto_version(context) < TLS1_2_VERSION) {
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  }
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, &keep_session);
  made.error = trust(context, files);
  if (made.error.empty()) made.error = present(context, files);
  return made;
}

/// Which CAs are trusted.
std::string TlsContext::trust(SSL_CTX* context, const TlsFiles& files) const {
  if (!options_.verify) return {};
  if (!options_.ca_file.empty()) {
    const PemCertificates found = parse_certificates(files.ca);
    if (!found.error.empty()) return fmt::format("ca_file is {}: {}", options_.ca_file, found.error);
    for (const openssl::Certificate& certificate : found.certificates) {
      if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate.get()) != 1) throw std::bad_alloc{};
    }
  }
  if (!options_.ca_path.empty() && SSL_CTX_load_verify_dir(context, options_.ca_path.c_str()) != 1) {
    throw std::bad_alloc{};
  }
  if (options_.ca_file.empty() && options_.ca_path.empty()) SSL_CTX_set_default_verify_paths(context);
  return {};
}

/// The client's own certificate, where there is one.
std::string TlsContext::present(SSL_CTX* context, const TlsFiles& files) const {
  if (options_.cert_file.empty()) return {};
  const PemCertificates found = parse_certificates(files.certificate);
  if (!found.error.empty()) return fmt::format("cert_file is {}: {}", options_.cert_file, found.error);
  for (const openssl::Certificate& certificate : found.certificates) {
    const bool is_own = certificate == found.certificates.front();
    if ((is_own ? SSL_CTX_use_certificate(context, certificate.get())
                : SSL_CTX_add1_chain_cert(context, certificate.get())) != 1) {
      return fmt::format("cert_file is {}: OpenSSL does not accept it ({})", options_.cert_file,
                         openssl::ErrorScope::reason());
    }
  }
  const std::string& key_field = options_.key_file.empty() ? options_.cert_file : options_.key_file;
  const char* const key_name = options_.key_file.empty() ? "cert_file" : "key_file";
  const PemKey key = parse_private_key(files.key);
  if (!key.error.empty()) return fmt::format("{} is {}: {}", key_name, key_field, key.error);
  if (SSL_CTX_use_PrivateKey(context, key.key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return fmt::format("{} is {}, whose private key does not belong to the certificate in {}", key_name, key_field,
                       options_.cert_file);
  }
  return {};
}

}  // namespace tollgate::inline v0
