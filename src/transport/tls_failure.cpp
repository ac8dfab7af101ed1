#include "transport/tls_failure.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace tollgate::inline v0 {
namespace {

constexpr std::size_t kMaxNames = 5;
constexpr std::size_t kMaxNameBytes = 100;

/// At most kMaxNameBytes of `text`, with everything unprintable as `\xNN`: a certificate is what the peer made it.
std::string shown(std::string_view text) {
  std::string out;
  for (const char character : text.substr(0, kMaxNameBytes)) {
    const bool is_plain = character >= ' ' && character <= '~' && character != '\\';
    out += is_plain ? std::string(1, character) : fmt::format("\\x{:02X}", static_cast<unsigned char>(character));
  }
  return text.size() > kMaxNameBytes ? out + "…" : out;
}

std::string_view view_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string address_text(std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == sizeof(in_addr) ? AF_INET : AF_INET6;
  if (bytes.size() != sizeof(in_addr) && bytes.size() != sizeof(in6_addr)) return "a malformed address";
  return inet_ntop(family, bytes.data(), text.data(), text.size()) != nullptr ? text.data() : "a malformed address";
}

std::string common_name(const X509_NAME* name) {
  const int index = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
  if (index < 0) return {};
  return shown(view_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index))));
}

/// The names and addresses that the certificate is for.
std::string names_of(const X509* certificate) {
  struct FreeNames {
    void operator()(GENERAL_NAMES* names) const noexcept { GENERAL_NAMES_free(names); }
  };
  const std::unique_ptr<GENERAL_NAMES, FreeNames> alternatives{
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
  std::vector<std::string> names;
  const int count = alternatives ? sk_GENERAL_NAME_num(alternatives.get()) : 0;
  for (int i = 0; i < count && names.size() < kMaxNames; ++i) {
    const GENERAL_NAME* const name = sk_GENERAL_NAME_value(alternatives.get(), i);
    if (name->type == GEN_DNS) names.push_back(shown(view_of(name->d.dNSName)));
    if (name->type == GEN_IPADD) names.push_back(address_text(view_of(name->d.iPAddress)));
  }
  if (names.empty()) names.push_back(common_name(X509_get_subject_name(certificate)));
  if (names.front().empty()) return "no name";
  return fmt::format("{}{}", fmt::join(names, ", "), static_cast<std::size_t>(count) > kMaxNames ? ", …" : "");
}

std::string date_text(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) == 0) return "an unreadable date";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string trusted(const TlsOptions& options) {
  if (!options.ca_file.empty() && !options.ca_path.empty()) {
    return fmt::format("those in {} and {}", options.ca_file, options.ca_path);
  }
  if (!options.ca_file.empty()) return "those in " + options.ca_file;
  if (!options.ca_path.empty()) return "those in " + options.ca_path;
  return "the system's";
}

std::string mismatch(const X509* certificate, const char* kind, const std::string& name) {
  return fmt::format(
      "the server's certificate is for {}, and not for the {} {}; connect by a name that it has, or set server_name",
      names_of(certificate), kind, shown(name));
}

}  // namespace

std::string name_to_verify(const TlsOptions& options, const std::string& host) {
  std::string name = options.server_name.empty() ? host : options.server_name;
  name.resize(std::min(name.size(), name.find('%')));
  if (name.size() > 1 && name.back() == '.') name.pop_back();
  return name;
}

bool is_address(const std::string& name) {
  in6_addr address{};
  return inet_pton(AF_INET, name.c_str(), &address) == 1 || inet_pton(AF_INET6, name.c_str(), &address) == 1;
}

Failure verification_failure(int error, int depth, const X509* certificate, const std::string& name,
                             const TlsOptions& options) {
  if (certificate == nullptr) return {Errc::kTlsFailed, false, X509_verify_cert_error_string(error)};
  const std::string subject =
      depth == 0 ? "the server's certificate"
                 : fmt::format("the CA certificate {} of the server", common_name(X509_get_subject_name(certificate)));
  std::string detail;
  switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH: detail = mismatch(certificate, "host name", name); break;
    case X509_V_ERR_IP_ADDRESS_MISMATCH: detail = mismatch(certificate, "address", name); break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
      detail = fmt::format(
          "{} was issued by {}, a CA that is not trusted; set ca_file or ca_path to the server's CA (trusted are {})",
          subject, common_name(X509_get_issuer_name(certificate)), trusted(options));
      break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      detail = fmt::format("{} expired on {}; renew it, or correct this host's clock", subject,
                           date_text(X509_get0_notAfter(certificate)));
      break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      detail = fmt::format("{} is valid from {} on; correct this host's clock, or wait", subject,
                           date_text(X509_get0_notBefore(certificate)));
      break;
    default: detail = fmt::format("{} was not accepted: {}", subject, X509_verify_cert_error_string(error));
  }
  return {Errc::kTlsFailed, false, std::move(detail)};
}

Failure alert_failure(int description, const std::string& name, const TlsOptions& options) {
  const std::string alert = SSL_alert_desc_string_long(description);
  std::string detail;
  switch (description) {
    case SSL_AD_CERTIFICATE_REQUIRED:
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_DECRYPT_ERROR:
      if (options.cert_file.empty()) {
        detail = "the server refused a client without a certificate; set cert_file and key_file";
      } else {
        detail = fmt::format(
            "the server refused the client certificate in {}; it must be valid, and of a CA that the "
            "server trusts",
            options.cert_file);
      }
      if (description == SSL_AD_HANDSHAKE_FAILURE) detail += ", or they have no cipher suite in common";
      break;
    case SSL_AD_PROTOCOL_VERSION:
      detail = "the server speaks neither TLS 1.2 nor TLS 1.3; enable one of them there";
      break;
    case SSL_AD_UNRECOGNIZED_NAME:
      detail = fmt::format("the server has no certificate for {}; set server_name to a name that it has", shown(name));
      break;
    default: detail = "the server ended TLS; it runs into an error of its own, or of this client";
  }
  return {Errc::kTlsFailed, false, fmt::format("{} (TLS alert: {})", detail, alert)};
}

Failure end_in_handshake(const std::string& how, bool is_asked_for_certificate, const TlsOptions& options) {
  if (!is_asked_for_certificate) {
    return {Errc::kConnectFailed, false, how + " in the TLS handshake; does the server speak TLS on this port?"};
  }
  if (options.cert_file.empty()) {
    return {Errc::kTlsFailed, false,
            how + " after the server had asked for a client certificate; set cert_file and key_file"};
  }
  return {
      Errc::kConnectFailed, false,
      fmt::format("{} after the server had asked for a client certificate; does it refuse the client certificate in "
                  "{}?",
                  how, options.cert_file)};
}

Failure plain_server_failure() {
  return {Errc::kTlsFailed, false,
          "the server answered without TLS; connect to its TLS port, or without TLS (redis://)"};
}

}  // namespace tollgate::inline v0
