#include "transport/connect_attempt.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "transport/resp_encoder.hpp"
#include "transport/socket_stream.hpp"
#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {
namespace {

using Time = ConnectAttempt::Time;

// A host that disappears without a reset is noticed after about 20 s when idle, after 10 s with bytes under way.
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

}  // namespace

ConnectAttempt::ConnectAttempt(const Url& url, const ClientOptions& options, Handshake handshake, Time now)
    : url_(url), options_(options), handshake_(handshake), deadline_(now + options.connect_timeout) {}

void ConnectAttempt::fail(Failure failure) {
  failure.detail = url_.to_string() + (failure.detail.empty() ? "" : ": ") + failure.detail;
  failure.may_have_executed = false;
  failure_ = std::move(failure);
  stage_ = Stage::kFailed;
}

ConnectAttempt::Progress ConnectAttempt::advance(Time until) {
  if (paused_) {
    paused_ = false;
    const auto unattended = std::chrono::steady_clock::now() - paused_at_;
    deadline_ += unattended;
    address_deadline_ += unattended;
  }
  until = std::min(until, deadline_);
  while (!paused_) {
    switch (stage_) {
      case Stage::kResolving: resolve(until); break;
      case Stage::kOpening: open_next(); break;
      case Stage::kConnecting: finish_connect(until); break;
      case Stage::kHandshake: shake_hands(until); break;
      case Stage::kConnected: return Progress::kConnected;
      case Stage::kFailed: return Progress::kFailed;
    }
  }
  return Progress::kPending;
}

/// A wait ended at `until`: either the attempt is over, or it pauses until the next caller resumes it.
bool ConnectAttempt::timed_out(Time until) {
  if (until >= deadline_) return true;
  paused_ = true;
  paused_at_ = std::chrono::steady_clock::now();
  return false;
}

void ConnectAttempt::resolve(Time until) {
  if (url_.scheme() == Url::Scheme::kUnix) {
    SocketAddress address;
    sockaddr_un unix_address{};
    unix_address.sun_family = AF_UNIX;
    if (url_.path().size() >= sizeof unix_address.sun_path) {
      return fail({Errc::kConnectFailed, false, "the path of the socket is longer than 107 bytes"});
    }
    std::memcpy(unix_address.sun_path, url_.path().data(), url_.path().size());
    std::memcpy(&address.storage, &unix_address, sizeof unix_address);
    address.length = sizeof unix_address;
    addresses_.push_back(address);
    stage_ = Stage::kOpening;
    return;
  }

  if (!resolution_) resolution_ = Resolution::start(url_.host(), url_.port());
  if (!resolution_->wait_until(until)) {
    if (timed_out(until)) fail({Errc::kConnectFailed, false, "the name was not resolved within connect_timeout"});
    return;
  }
  if (!resolution_->error().empty() || resolution_->addresses().empty()) {
    return fail({Errc::kConnectFailed, false, "the name was not resolved: " + resolution_->error()});
  }
  addresses_ = resolution_->addresses();
  stage_ = Stage::kOpening;
}

void ConnectAttempt::open_next() {
  const SocketAddress& address = addresses_[next_address_++];
  // Each address has its share of the time that is left, so that a silent first one does not use it all.
  const auto now = std::chrono::steady_clock::now();
  const auto addresses_left = static_cast<int>(addresses_.size() - next_address_ + 1);
  address_deadline_ = now + std::max(deadline_ - now, Time::duration::zero()) / addresses_left;

  socket_ = std::make_unique<OpenSocket>(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK);
  const int descriptor = socket_->descriptor();
  if (descriptor < 0) return try_next_address(text_of(errno));
  if (address.storage.ss_family != AF_UNIX) set_tcp_options(descriptor);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address.storage), address.length) == 0) {
    return start_handshake();
  }
  if (errno != EINPROGRESS && errno != EINTR) return try_next_address(text_of(errno));
  stage_ = Stage::kConnecting;
}

void ConnectAttempt::finish_connect(Time until) {
  if (!wait_for_socket(socket_->descriptor(), std::min(until, address_deadline_), false, true)) {
    if (address_deadline_ <= until) return try_next_address("no answer within connect_timeout");
    timed_out(until);
    return;
  }
  int error = 0;
  socklen_t length = sizeof error;
  if (::getsockopt(socket_->descriptor(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error != 0) return try_next_address(text_of(error));
  start_handshake();
}

void ConnectAttempt::try_next_address(std::string why) {
  socket_.reset();
  if (next_address_ < addresses_.size()) {
    stage_ = Stage::kOpening;
  } else {
    fail({Errc::kConnectFailed, false, std::move(why)});
  }
}

void ConnectAttempt::start_handshake() {
  connection_ = std::make_shared<Connection>(std::make_unique<SocketStream>(std::move(socket_)));
  std::string& bytes = connection_->outgoing;
  std::optional<Credentials> credentials;
  if (url_.password()) credentials = {url_.username(), *url_.password()};
  if (options_.credentials) {
    try {
      credentials = options_.credentials();
    } catch (...) {  // its text may hold a secret
      return fail({Errc::kConnectFailed, false, "the credentials callback threw"});
    }
  }
  if (credentials) {
    if (credentials->username.empty()) {
      append_resp(bytes, {"AUTH", credentials->password});
    } else {
      append_resp(bytes, {"AUTH", credentials->username, credentials->password});
    }
    ++expected_answers_;
  }
  if (url_.database() != 0) {
    append_resp(bytes, {"SELECT", std::to_string(url_.database())});
    ++expected_answers_;
  }
  if (expected_answers_ == 0 && handshake_ == Handshake::kAlways) {
    append_resp(bytes, {"PING"});
    ++expected_answers_;
  }
  stage_ = expected_answers_ == 0 ? Stage::kConnected : Stage::kHandshake;
}

/// Nothing else is sent before the answers are there: in the wrong database every counter would be another one.
void ConnectAttempt::shake_hands(Time until) {
  connection_->outgoing.erase(0, connection_->send());
  const bool ready = connection_->wait(until, !connection_->outgoing.empty());
  Failure failure = connection_->receive(answers_);
  for (const Reply& answer : answers_) {
    if (!answer.is_error()) continue;
    failure = failure_from_error_reply(answer.text());
    failure.detail = "AUTH or SELECT was refused";
    return fail(std::move(failure));
  }
  if (failure.code) {
    failure.code = Errc::kConnectFailed;
    return fail(std::move(failure));
  }
  if (answers_.size() >= expected_answers_) {
    connection_->has_answered = true;
    stage_ = Stage::kConnected;
    return;
  }
  if (!ready && timed_out(until)) fail({Errc::kConnectFailed, false, "AUTH or SELECT was not answered in time"});
}

}  // namespace tollgate::inline v0
