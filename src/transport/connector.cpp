#include "transport/connector.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <system_error>
#include <utility>

#include "transport/socket_stream.hpp"

namespace tollgate::inline v0 {
namespace {

using Action = ConnectAttempt::Action;

// A host that disappears without a reset is detected after about 20 s when idle, after 10 s with unacknowledged bytes.
void set_tcp_options(int descriptor) noexcept {
  const auto set = [descriptor](int level, int option, int value) {
    ::setsockopt(descriptor, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 3);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_USER_TIMEOUT, 10'000);
}

std::string text_of(int error) { return std::system_category().message(error); }

HostAddresses address_of_socket(const std::string& path) {
  sockaddr_un unix_address{};
  unix_address.sun_family = AF_UNIX;
  if (path.size() >= sizeof unix_address.sun_path) return {{}, "the path of the socket is longer than 107 bytes"};
  std::memcpy(unix_address.sun_path, path.data(), path.size());
  SocketAddress address;
  std::memcpy(&address.storage, &unix_address, sizeof unix_address);
  address.length = sizeof unix_address;
  return {{address}};
}

}  // namespace

Connector::Progress Connector::advance(Time until) {
  attempt_.resume(std::chrono::steady_clock::now());
  is_paused_ = false;
  while (!is_paused_) {
    switch (attempt_.action()) {
      case Action::kResolve: resolve(until); break;
      case Action::kOpen: open(); break;
      case Action::kAwaitOpen: await_open(until); break;
      case Action::kSecure: secure(until); break;
      case Action::kLogIn: log_in(); break;
      case Action::kAwaitAnswers: await_answers(until); break;
      case Action::kConnected: return Progress::kConnected;
      case Action::kFailed: return Progress::kFailed;
    }
  }
  attempt_.pause(std::chrono::steady_clock::now());
  return Progress::kPending;
}

void Connector::resolve(Time until) {
  if (endpoint_.host.empty()) return attempt_.resolved(address_of_socket(endpoint_.socket_path));
  if (!resolution_) resolution_ = Resolution::start(endpoint_.host, endpoint_.port);
  if (resolution_->wait_until(std::min(until, attempt_.deadline()))) {
    return attempt_.resolved({resolution_->addresses(), resolution_->error()});
  }
  is_paused_ = until < attempt_.deadline();
  if (!is_paused_) attempt_.timed_out();
}

void Connector::open() {
  const SocketAddress& address = attempt_.address();
  attempt_.opening(std::chrono::steady_clock::now());
  socket_ = std::make_unique<OpenSocket>(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK);
  const int descriptor = socket_->descriptor();
  if (descriptor < 0) return attempt_.not_opened(text_of(errno));
  if (address.storage.ss_family != AF_UNIX) set_tcp_options(descriptor);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0) {
    attempt_.opened();
  } else if (errno != EINPROGRESS && errno != EINTR) {
    attempt_.not_opened(text_of(errno));
  }
}

void Connector::await_open(Time until) {
  if (!wait_for_socket(socket_->descriptor(), std::min(until, attempt_.deadline()), false, true)) {
    is_paused_ = until < attempt_.deadline();
    if (!is_paused_) attempt_.timed_out();
    return;
  }
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(socket_->descriptor(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error != 0) return attempt_.not_opened(text_of(error));
  attempt_.opened();
}

void Connector::secure(Time until) {
  if (!secured_) {
    TlsContext::Opened opened = tls_->open();
    if (!opened.engine) return attempt_.not_secured(std::move(opened.failure));
    secured_ = std::make_unique<TlsStream>(std::move(socket_), std::move(opened.engine));
  }
  switch (secured_->handshake()) {
    case TlsStream::Progress::kDone: return attempt_.secured();
    case TlsStream::Progress::kFailed: return attempt_.not_secured(secured_->failure());
    case TlsStream::Progress::kPending: break;
  }
  if (secured_->wait(std::min(until, attempt_.deadline()), false)) return;
  is_paused_ = until < attempt_.deadline();
  if (!is_paused_) attempt_.timed_out();
}

void Connector::log_in() {
  std::optional<Credentials> credentials = login_.fixed;
  if (login_.credentials) {
    const auto asked_at = std::chrono::steady_clock::now();
    try {
      credentials = login_.credentials();
      login_renewal_ = {asked_at, credentials->valid_for};
    } catch (...) {  // the exception's text may contain a secret, so it is dropped
      return attempt_.no_credentials();
    }
  }
  std::unique_ptr<ByteStream> stream = std::move(secured_);
  if (!stream) stream = std::make_unique<SocketStream>(std::move(socket_));
  connection_ = std::make_shared<Connection>(std::move(stream));
  connection_->outgoing = attempt_.handshake(credentials);
}

void Connector::await_answers(Time until) {
  connection_->outgoing.erase(0, connection_->send());
  const Time deadline = std::min(until, attempt_.deadline());
  const bool is_ready = connection_->wait(deadline, !connection_->outgoing.empty());
  Failure failure = connection_->receive(replies_);
  if (connection_->is_out_of_memory) throw std::bad_alloc{};  // which is no failure of the server
  attempt_.answered(replies_);
  replies_.clear();
  connection_->has_answered = attempt_.has_answered();
  if (failure.code) attempt_.lost(std::move(failure));
  if (is_ready || attempt_.action() != Action::kAwaitAnswers) return;
  is_paused_ = until < attempt_.deadline();
  if (!is_paused_) attempt_.timed_out();
}

}  // namespace tollgate::inline v0
