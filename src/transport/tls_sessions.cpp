#include "transport/tls_sessions.hpp"

#include <utility>

namespace tollgate::inline v0 {
namespace {

bool is_usable(const SSL_SESSION* session) noexcept {
  if (SSL_SESSION_is_resumable(session) == 0) return false;
  // The accessor takes a pointer to a mutable session and does not change it.
  const X509* const certificate = SSL_SESSION_get0_peer(const_cast<SSL_SESSION*>(session));
  return certificate == nullptr || X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

}  // namespace

void TlsSessions::add(openssl::Session session) noexcept {
  const std::lock_guard lock{mutex_};
  sessions_[next_] = std::move(session);
  next_ = (next_ + 1) % kKept;
}

openssl::Session TlsSessions::take() noexcept {
  const std::lock_guard lock{mutex_};
  for (std::size_t i = 0; i < kKept; ++i) {
    const std::size_t newest = (next_ + kKept - 1) % kKept;
    openssl::Session& session = sessions_[newest];
    if (!session) return nullptr;
    if (is_usable(session.get())) {
      if (SSL_SESSION_get_protocol_version(session.get()) < TLS1_3_VERSION) {
        SSL_SESSION_up_ref(session.get());
        return openssl::Session{session.get()};
      }
      next_ = newest;
      return std::move(session);
    }
    session.reset();
    next_ = newest;
  }
  return nullptr;
}

void TlsSessions::clear() noexcept {
  const std::lock_guard lock{mutex_};
  for (openssl::Session& session : sessions_) session.reset();
}

}  // namespace tollgate::inline v0
