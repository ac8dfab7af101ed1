#include "transport/tls_engine.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "transport/tls_failure.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

// Output that the peer does not take. Its own requests (key updates) make us answer, so there must be a bound.
constexpr std::size_t kMaxOutput = 256UL * 1024;

// The content types of the first record of a server: alert and handshake (RFC 8446, section 5.1).
constexpr std::array kFirstBytes{'\x15', '\x16'};

BIO* new_memory_bio() {
  BIO* const bio = BIO_new(BIO_s_mem());
  if (bio == nullptr) throw std::bad_alloc{};
  return bio;
}

}  // namespace

TlsEngine::TlsEngine(openssl::Ssl ssl, std::string name, TlsOptions options, std::shared_ptr<TlsSessions> sessions)
    : ssl_(std::move(ssl)),
      input_(new_memory_bio()),
      output_([this] {
        openssl::Bio input{input_};
        BIO* const output = new_memory_bio();
        SSL_set_bio(ssl_.get(), input.release(), output);
        return output;
      }()),
      name_(std::move(name)),
      options_(std::move(options)),
      sessions_(std::move(sessions)) {
  SSL_set_connect_state(ssl_.get());
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_info_callback(ssl_.get(), &on_info);
  SSL_set_cert_cb(ssl_.get(), &on_certificate_request, this);
  SSL_set_verify(ssl_.get(), options_.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, &on_verification);
}

/// Marks a connection that did not fail as shut down, because OpenSSL would not resume its session otherwise. RFC 5246,
/// section 7.2.1, allows it.
TlsEngine::~TlsEngine() {
  if (!openssl::has_ended() && !failure_.code) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

/// Called by OpenSSL for each certificate of the chain, and with `accepted` 0 for one that it refuses.
int TlsEngine::on_verification(int accepted, X509_STORE_CTX* store) noexcept {
  if (accepted != 0) return accepted;
  const auto* const ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* const engine = static_cast<TlsEngine*>(SSL_get_app_data(ssl));
  if (!engine->options_.verify || engine->failure_.code) return engine->options_.verify ? 0 : 1;
  try {
    engine->failure_ = verification_failure(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_error_depth(store),
                                            X509_STORE_CTX_get_current_cert(store), engine->name_, engine->options_);
  } catch (const std::bad_alloc&) {
    engine->failure_ = {Errc::kTlsFailed};
  }
  return 0;
}

void TlsEngine::on_info(const SSL* ssl, int where, int value) noexcept {
  constexpr int kDescription = 0xFF;  // the level is above it
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT) {
    static_cast<TlsEngine*>(SSL_get_app_data(ssl))->received_alert_ = value & kDescription;
  }
}

/// The certificate that the client shows, if any, is set already.
int TlsEngine::on_certificate_request(SSL* /*ssl*/, void* engine) noexcept {
  static_cast<TlsEngine*>(engine)->is_asked_for_certificate_ = true;
  return 1;
}

Failure TlsEngine::ended_in_handshake(const std::string& how) const {
  return end_in_handshake(how, is_asked_for_certificate_, options_);
}

void TlsEngine::fail(const char* detail) noexcept {
  if (!failure_.code) failure_ = detail::failure(Errc::kTlsFailed, false, detail);
}

void TlsEngine::fail() noexcept {
  if (failure_.code) return;
  try {
    failure_ = received_alert_ != kNoAlert
                   ? alert_failure(received_alert_, name_, options_)
                   : Failure{Errc::kTlsFailed, false, std::string{"OpenSSL: "} + openssl::ErrorScope::reason()};
  } catch (const std::bad_alloc&) {
    failure_ = {Errc::kTlsFailed};
  }
}

/// After a function of OpenSSL that passed nothing. SSL_get_error() is not asked, because it would take an error that
/// the application left in its queue for one of this connection.
TlsEngine::Status TlsEngine::status_of_failure(const openssl::ErrorScope& errors) noexcept {
  if (!failure_.code && !errors.has_error()) {
    if (received_alert_ == SSL_AD_CLOSE_NOTIFY) return Status::kClosed;
    if (SSL_want(ssl_.get()) == SSL_READING) return Status::kNeedsInput;
  }
  fail();
  return Status::kFailed;
}

TlsEngine::Status TlsEngine::handshake() noexcept {
  if (openssl::has_ended()) fail("OpenSSL has ended with the program");
  if (failure_.code) return Status::kFailed;
  const openssl::ErrorScope errors;
  return SSL_do_handshake(ssl_.get()) == 1 ? Status::kOk : status_of_failure(errors);
}

void TlsEngine::feed(std::string_view bytes) noexcept {
  if (openssl::has_ended()) fail("OpenSSL has ended with the program");
  if (failure_.code || bytes.empty()) return;
  if (!std::exchange(has_received_, true) &&
      std::find(kFirstBytes.begin(), kFirstBytes.end(), bytes.front()) == kFirstBytes.end()) {
    try {
      failure_ = plain_server_failure();
    } catch (const std::bad_alloc&) {
      failure_ = {Errc::kTlsFailed};
    }
    return;
  }
  const openssl::ErrorScope errors;
  std::size_t written = 0;
  if (BIO_write_ex(input_, bytes.data(), bytes.size(), &written) != 1) fail("out of memory");
}

TlsEngine::Result TlsEngine::read(std::span<char> room) noexcept {
  if (openssl::has_ended()) fail("OpenSSL has ended with the program");
  if (failure_.code) return {Status::kFailed};
  const openssl::ErrorScope errors;
  Result result;
  needs_input_ = false;
  while (result.count < room.size()) {
    const std::span<char> rest = room.subspan(result.count);
    std::size_t count = 0;
    if (SSL_read_ex(ssl_.get(), rest.data(), rest.size(), &count) != 1) {
      result.status = status_of_failure(errors);
      needs_input_ = result.status == Status::kNeedsInput;
      break;
    }
    result.count += count;
  }
  if (output_size() > kMaxOutput) {
    fail("the peer requests answers and does not read them");
    result.status = Status::kFailed;
    needs_input_ = false;
  }
  // What came before the end is given first; the next call finds the end again.
  if (result.count > 0) result.status = Status::kOk;
  return result;
}

TlsEngine::Result TlsEngine::write(std::string_view plain) noexcept {
  if (openssl::has_ended()) fail("OpenSSL has ended with the program");
  if (failure_.code) return {Status::kFailed};
  const openssl::ErrorScope errors;
  Result result;
  if (SSL_write_ex(ssl_.get(), plain.data(), std::min(plain.size(), kMaxRecord), &result.count) != 1) {
    result.status = status_of_failure(errors);
  }
  return result;
}

std::size_t TlsEngine::take_output(std::span<char> room) noexcept {
  if (openssl::has_ended()) return 0;
  const openssl::ErrorScope errors;
  std::size_t count = 0;
  return BIO_read_ex(output_, room.data(), room.size(), &count) == 1 ? count : 0;
}

std::size_t TlsEngine::output_size() const noexcept { return openssl::has_ended() ? 0 : BIO_ctrl_pending(output_); }

void TlsEngine::close() noexcept {
  if (openssl::has_ended() || failure_.code || SSL_is_init_finished(ssl_.get()) == 0) return;
  const openssl::ErrorScope errors;
  SSL_shutdown(ssl_.get());
}

}  // namespace tollgate::inline v0
