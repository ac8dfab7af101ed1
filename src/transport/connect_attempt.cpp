#include "transport/connect_attempt.hpp"

#include <algorithm>
#include <utility>

#include "transport/resp_encoder.hpp"

namespace tollgate::inline v0 {

void ConnectAttempt::fail(Failure failure) {
  failure.detail = endpoint_.name + (failure.detail.empty() ? "" : ": ") + failure.detail;
  failure.may_have_executed = false;
  failure_ = std::move(failure);
  action_ = Action::kFailed;
}

void ConnectAttempt::resolved(HostAddresses found) {
  if (!found.error.empty() || found.addresses.empty()) {
    return fail({Errc::kConnectFailed, false, "the name was not resolved: " + found.error});
  }
  addresses_ = std::move(found.addresses);
  action_ = Action::kOpen;
}

void ConnectAttempt::opening(Time now) {
  const auto left = std::max(deadline_ - now, Time::duration::zero());
  address_deadline_ = now + left / static_cast<int>(addresses_.size() - address_);
  action_ = Action::kAwaitOpen;
}

void ConnectAttempt::not_opened(std::string why) {
  if (address_ + 1 == addresses_.size()) return fail({Errc::kConnectFailed, false, std::move(why)});
  ++address_;
  action_ = Action::kOpen;
}

std::string ConnectAttempt::handshake(const std::optional<Credentials>& credentials) {
  std::string bytes;
  if (credentials) {
    append_auth(bytes, *credentials);
    ++expected_answers_;
  }
  if (login_.database != 0) {
    append_resp(bytes, {"SELECT", std::to_string(login_.database)});
    ++expected_answers_;
  }
  if (!login_.inquiry.empty()) {
    bytes += login_.inquiry;
    ++expected_answers_;
  }
  if (expected_answers_ == 0 && handshake_ == Handshake::kAlways) {
    append_resp(bytes, {"PING"});
    ++expected_answers_;
  }
  // Nothing else is sent before the replies have come, because in the wrong database every counter would be wrong.
  action_ = expected_answers_ == 0 ? Action::kConnected : Action::kAwaitAnswers;
  return bytes;
}

void ConnectAttempt::no_credentials() { fail({Errc::kConnectFailed, false, "the credentials callback threw"}); }

void ConnectAttempt::answered(std::span<const Reply> replies) {
  for (const Reply& reply : replies) {
    const bool answers_inquiry = !login_.inquiry.empty() && answers_.size() + 1 == expected_answers_;
    if (reply.is_error() && !answers_inquiry) {
      Failure failure = failure_from_error_reply(reply.text());
      failure.detail = "AUTH or SELECT was refused";
      return fail(std::move(failure));
    }
    answers_.push_back(reply);
  }
  if (answers_.size() >= expected_answers_) action_ = Action::kConnected;
}

void ConnectAttempt::lost(Failure failure) {
  if (action_ != Action::kAwaitAnswers) return;  // the replies decide
  if (failure.code != Errc::kTlsFailed) failure.code = Errc::kConnectFailed;
  fail(std::move(failure));
}

void ConnectAttempt::timed_out() {
  switch (action_) {
    case Action::kResolve:
      return fail({Errc::kConnectFailed, false, "the name was not resolved within connect_timeout"});
    case Action::kOpen:
    case Action::kAwaitOpen: return not_opened("no answer within connect_timeout");
    case Action::kSecure:
      return fail(
          {Errc::kConnectFailed, false,
           "the TLS handshake was not answered within connect_timeout; does the server speak TLS on this port, or "
           "does the URL have to be redis://?"});
    case Action::kLogIn:
    case Action::kAwaitAnswers: return fail({Errc::kConnectFailed, false, "AUTH or SELECT was not answered in time"});
    case Action::kConnected:
    case Action::kFailed: return;
  }
}

void ConnectAttempt::resume(Time now) noexcept {
  if (!paused_at_) return;
  const auto pause = now - *paused_at_;
  paused_at_.reset();
  deadline_ += pause;
  address_deadline_ += pause;
}

}  // namespace tollgate::inline v0
