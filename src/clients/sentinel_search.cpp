#include "clients/sentinel_search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "transport/resp_encoder.hpp"
#include "values/arguments.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0 {
namespace {

constexpr std::int64_t kMaxPort = 65'535;
// More details are left out, so that the message of an error with many sentinels stays readable.
constexpr std::size_t kMaxDetails = 600;

/// Host and port, or nothing when `reply` is none of Sentinel's.
std::optional<HostAndPort> read_address(const Reply& reply) {
  if (reply.kind() != Reply::Kind::kArray || reply.elements().size() != 2) return std::nullopt;
  const std::string& host = reply.elements()[0].text();
  const std::int64_t port = reply.elements()[1].to_integer().value_or(0);
  if (host.empty() || host.size() > kMaxHostBytes || port < 1 || port > kMaxPort) return std::nullopt;
  return HostAndPort{host, static_cast<std::uint16_t>(port)};
}

}  // namespace

std::string SentinelSearch::query(const std::string& service) {
  std::string bytes;
  append_resp(bytes, {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", service});
  return bytes;
}

std::string SentinelSearch::role_query() {
  std::string bytes;
  append_resp(bytes, {"ROLE"});
  return bytes;
}

void SentinelSearch::sentinel_answered(const Reply& reply) {
  const std::string name = "sentinel " + url_.hosts()[sentinel()].to_string();
  if (reply.is_error()) {
    Failure failure = failure_from_error_reply(reply.text(), "SENTINEL");
    if (failure.code == Errc::kUnknownCommand) {
      failure.code = Errc::kWrongTopology;
      failure.detail = "is no sentinel; the URL of a Redis server without Sentinel starts with redis:// or rediss://";
    }
    failure.detail = name + ": " + failure.detail;
    return sentinel_failed(failure);
  }
  if (reply.is_nil()) {
    return sentinel_failed(
        {Errc::kWrongTopology, false, fmt::format("{}: has no service {}", name, detail::printable(url_.service()))});
  }
  std::optional<HostAndPort> address = read_address(reply);
  if (!address) return sentinel_failed({Errc::kProtocol, false, name + ": its reply is no address"});
  if (std::find(refused_.begin(), refused_.end(), *address) != refused_.end()) return ask_next();
  primary_ = *std::move(address);
  action_ = Action::kCheckPrimary;
}

void SentinelSearch::sentinel_failed(const Failure& failure) {
  if (is_misconfiguration(failure.code)) {
    ++misconfigured_count_;
    if (!misconfigured_) misconfigured_ = failure;
  }
  note(failure);
  ask_next();
}

void SentinelSearch::primary_answered(const Reply& role) {
  const std::string name = "server " + primary_.to_string();
  if (role.is_error()) {
    Failure failure = failure_from_error_reply(role.text(), "ROLE");
    failure.detail = name + ": " + failure.detail;
    if (failure.code == Errc::kPermissionDenied) failure.detail += "; with +sentinel the user needs +role";
    return primary_failed(failure);
  }
  const bool has_role = !role.elements().empty();
  if (has_role && role.elements().front().text() == "master") {
    action_ = Action::kFound;
    return;
  }
  primary_failed({Errc::kConnectFailed, false,
                  name + (has_role && role.elements().front().text() == "slave"
                              ? ": is a replica: the sentinel is out of date, or a failover is under way"
                              : ": is no primary")});
}

void SentinelSearch::primary_failed(const Failure& failure) {
  if (is_misconfiguration(failure.code) && !login_refused_) login_refused_ = failure;
  refused_.push_back(primary_);
  note(failure);
  ask_next();
}

void SentinelSearch::timed_out() {
  note({Errc::kConnectFailed, false, "no answer within connect_timeout"});
  fail();
}

void SentinelSearch::note(const Failure& failure) {
  if (details_.size() > kMaxDetails) return;
  if (!details_.empty()) details_ += "; ";
  details_ += failure.detail;
}

void SentinelSearch::ask_next() {
  ++asked_;
  if (asked_ == url_.hosts().size()) return fail();
  action_ = Action::kAskSentinel;
}

void SentinelSearch::fail() {
  failure_.code = Errc::kConnectFailed;
  if (login_refused_) {
    failure_ = *login_refused_;
  } else if (misconfigured_ && 2 * misconfigured_count_ > url_.hosts().size()) {
    failure_ = *misconfigured_;
  }
  failure_.may_have_executed = false;
  failure_.detail = url_.to_string() + ": " + details_;
  action_ = Action::kFailed;
}

}  // namespace tollgate::inline v0
