#include "clients/sentinel_connections.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Hosts named by the URL, and servers that have been primaries; beyond, the oldest of these is forgotten.
constexpr std::size_t kMaxContexts = 128;

}  // namespace

/// Carries out a SentinelSearch, and is then the connection to the server that it has found.
class SentinelConnections::Attempt final : public PendingConnection {
 public:
  Attempt(SentinelConnections& source, Handshake handshake, Time now)
      : source_(source),
        handshake_(handshake),
        deadline_(now + source.connect_timeout_),
        search_(source.url_, source.last_good_.load(std::memory_order_relaxed)) {}

  Progress advance(Time until) override {
    resume(SteadyClock::now());
    for (;;) {
      switch (search_.action()) {
        case Action::kFound:
          source_.last_good_.store(search_.sentinel(), std::memory_order_relaxed);
          return Progress::kConnected;
        case Action::kFailed: return Progress::kFailed;
        case Action::kAskSentinel:
        case Action::kCheckPrimary: break;
      }
      if (!connector_ && !open(SteadyClock::now())) continue;
      switch (connector_->advance(until)) {
        case Progress::kPending: paused_at_ = SteadyClock::now(); return Progress::kPending;
        case Progress::kConnected: take_reply(); break;
        case Progress::kFailed: take_failure(); break;
      }
      connector_.reset();
    }
  }

  std::shared_ptr<Connection> take_connection() noexcept override { return std::move(connection_); }
  const LoginRenewal& login() const noexcept override { return login_; }
  const Failure& failure() const noexcept override { return search_.failure(); }

 private:
  using Action = SentinelSearch::Action;

  /// Time in which no caller drives the attempt does not count, as for ConnectAttempt.
  void resume(Time now) noexcept {
    if (!paused_at_) return;
    deadline_ += now - *paused_at_;
    paused_at_.reset();
  }

  /// Begins to connect to the sentinel or server that the search names. False when the connect timeout has passed.
  bool open(Time now) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - now);
    if (left.count() <= 0) {
      search_.timed_out();
      return false;
    }
    const bool asks = search_.action() == Action::kAskSentinel;
    const HostAndPort& server = asks ? source_.url_.hosts()[search_.sentinel()] : search_.primary();
    endpoint_ = {.name = (asks ? "sentinel " : "server ") + server.to_string(),
                 .host = server.host,
                 .port = server.port,
                 .is_encrypted = source_.url_.is_encrypted()};
    tls_ = source_.tls_for(server.host);
    // A share for each sentinel that may have to be asked, and one for the primary.
    const auto parts = static_cast<std::chrono::milliseconds::rep>(search_.sentinels_left() + (asks ? 1 : 0));
    connector_ = std::make_unique<Connector>(endpoint_, asks ? source_.sentinel_login_ : source_.primary_login_,
                                             tls_.get(), handshake_, std::max(left / parts, kLeastShare), now);
    return true;
  }

  void take_reply() {
    const Reply reply = connector_->inquiry_reply();
    if (search_.action() == Action::kAskSentinel) return search_.sentinel_answered(reply);
    search_.primary_answered(reply);
    if (search_.action() != Action::kFound) return;
    login_ = connector_->login();
    connection_ = connector_->take_connection();
  }

  void take_failure() {
    if (search_.action() == Action::kAskSentinel) return search_.sentinel_failed(connector_->failure());
    search_.primary_failed(connector_->failure());
  }

  static constexpr std::chrono::milliseconds kLeastShare{1};

  SentinelConnections& source_;
  const Handshake handshake_;
  Time deadline_;
  std::optional<Time> paused_at_;
  SentinelSearch search_;
  Endpoint endpoint_;                // of connector_
  std::shared_ptr<TlsContext> tls_;  // of connector_
  std::unique_ptr<Connector> connector_;
  std::shared_ptr<Connection> connection_;
  LoginRenewal login_;  // of connection_
};

SentinelConnections::SentinelConnections(Url url, const ClientOptions& options)
    : url_(std::move(url)),
      tls_options_(options.tls),
      connect_timeout_(options.connect_timeout),
      sentinel_login_(url_.sentinel_login()),
      primary_login_(url_.login(options.credentials)) {
  sentinel_login_.inquiry = SentinelSearch::query(url_.service());
  primary_login_.inquiry = SentinelSearch::role_query();
}

std::unique_ptr<PendingConnection> SentinelConnections::begin(Handshake handshake, PendingConnection::Time now) {
  return std::make_unique<Attempt>(*this, handshake, now);
}

std::shared_ptr<TlsContext> SentinelConnections::tls_for(const std::string& host) {
  if (!url_.is_encrypted()) return nullptr;
  const std::lock_guard lock{mutex_};
  const auto known =
      std::find_if(tls_.begin(), tls_.end(), [&](const NamedContext& named) { return named.host == host; });
  if (known != tls_.end()) return known->context;
  if (tls_.size() == kMaxContexts) tls_.erase(tls_.begin());
  return tls_.emplace_back(NamedContext{host, std::make_shared<TlsContext>(tls_options_, host)}).context;
}

}  // namespace tollgate::inline v0
