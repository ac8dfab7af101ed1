// What hostile sentinels, and the servers that they name, may answer to a search for the primary. Whatever they send,
// the search ends, checks only hosts and ports that can exist, none of them twice, takes nothing but a master for the
// primary, and its error is printable and has no password.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clients/sentinel_search.hpp"
#include "fuzz/fuzz.hpp"
#include "transport/reply_parser.hpp"
#include "values/limits.hpp"
#include "values/url.hpp"

namespace tollgate {
namespace {

using fuzz::Input;
using fuzz::require;
using Action = SentinelSearch::Action;

/// An error with so many sentinels stays readable: that of a search has about 600 bytes, and one more answer.
constexpr std::size_t kMostDetailBytes = 4096;

const Url& url() {
  static const Url url = Url::parse("redis+sentinel://app:hunter2@a,b,[::1]:7000/main?sentinel_password=hunter2");
  return url;
}

// Set for each input. A peer that sends the password itself may be quoted: it names a host.
bool input_holds_password = false;

void check_failure(const Failure& failure) {
  require(static_cast<bool>(failure.code), "a search that failed says why");
  require(!failure.may_have_executed, "a search executes nothing");
  require(failure.detail.size() < kMostDetailBytes, "the error is readable");
  const bool holds_password = failure.detail.find("hunter2") != std::string::npos;
  require(!holds_password || input_holds_password, "the error has no password");
  const auto is_printable = [](char character) { return character >= ' ' && character <= '~'; };
  require(std::all_of(failure.detail.begin(), failure.detail.end(), is_printable), "the error is printable");
}

/// Answers the search by `answer(search)` until it ends, and checks each step.
template <class Answer>
void run(std::size_t first, Answer answer) {
  SentinelSearch search{url(), first};
  std::vector<std::size_t> asked;
  std::vector<HostAndPort> checked;
  bool is_master = false;
  while (search.action() == Action::kAskSentinel || search.action() == Action::kCheckPrimary) {
    if (search.action() == Action::kAskSentinel) {
      require(std::find(asked.begin(), asked.end(), search.sentinel()) == asked.end(), "no sentinel is asked twice");
      asked.push_back(search.sentinel());
      require(search.sentinels_left() == url().hosts().size() - asked.size() + 1, "the sentinels left are counted");
    } else {
      const HostAndPort& primary = search.primary();
      require(primary.port > 0, "ports are in range");
      require(!primary.host.empty() && primary.host.size() <= kMaxHostBytes, "hosts are 1 … 255 bytes long");
      require(std::find(checked.begin(), checked.end(), primary) == checked.end(), "no server is checked twice");
      checked.push_back(primary);
    }
    is_master = answer(search);
  }
  if (search.action() == Action::kFound) {
    require(is_master && !checked.empty() && search.primary() == checked.back(), "a master is the primary");
  } else {
    check_failure(search.failure());
  }
}

/// Whether it is the ROLE of a master.
bool pass_on(SentinelSearch& search, const Reply& reply) {
  if (search.action() == Action::kAskSentinel) {
    search.sentinel_answered(reply);
    return false;
  }
  search.primary_answered(reply);
  return reply.kind() == Reply::Kind::kArray && !reply.elements().empty() &&
         reply.elements().front().text() == "master";
}

/// The bytes are the replies that come one after another; then connections end.
void check_bytes(std::size_t first, std::string_view bytes) {
  ReplyParser parser;
  std::vector<Reply> replies;
  static_cast<void>(parser.feed(bytes, replies));
  std::size_t next = 0;
  run(first, [&](SentinelSearch& search) {
    if (next < replies.size()) return pass_on(search, replies[next++]);
    const Failure ended{Errc::kConnectionLost, false, "connection ended"};
    search.action() == Action::kAskSentinel ? search.sentinel_failed(ended) : search.primary_failed(ended);
    return false;
  });
}

std::string hostile_host(Input& input) {
  constexpr std::array<const char*, 6> kHosts{"10.0.0.1", "10.0.0.2", "::1", "", "a b\r\nc", "::\n%0\x1b[2J"};
  const std::uint8_t choice = input.byte();
  return choice % 8 == 7 ? input.text() : kHosts[choice % kHosts.size()];
}

Reply hostile_reply(Input& input) {
  constexpr std::array<const char*, 8> kErrors{"NOAUTH Authentication required.",
                                               "ERR unknown command 'SENTINEL'",
                                               "NOPERM this user has no permissions to run the 'role' command",
                                               "IDONTKNOW ask another",
                                               "WRONGPASS invalid username-password pair or user is disabled.",
                                               "LOADING",
                                               "",
                                               "\r\n\x1b[2J hunter2"};
  constexpr std::array<const char*, 6> kPorts{"6379", "0", "65536", "-1", "99999999999999999999", "x"};
  constexpr std::array<const char*, 4> kRoles{"master", "slave", "sentinel", "MASTER"};
  switch (input.byte() % 6) {
    case 0: return {};
    case 1: return Reply::error(kErrors[input.byte() % kErrors.size()]);
    case 2: return Reply::error(input.text());
    case 3: return Reply::array({Reply::string(kRoles[input.byte() % kRoles.size()]), Reply::integer(0)});
    case 4: return Reply::array({Reply::string(hostile_host(input)), Reply::integer(input.integer())});
    default: {
      std::string host = hostile_host(input);
      return Reply::array({Reply::string(std::move(host)), Reply::string(kPorts[input.byte() % kPorts.size()])});
    }
  }
}

void check_choices(std::size_t first, Input& input) {
  run(first, [&](SentinelSearch& search) {
    if (input.byte() % 32 == 31) {
      search.timed_out();
      return false;
    }
    return pass_on(search, hostile_reply(input));
  });
}

}  // namespace
}  // namespace tollgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  tollgate::input_holds_password = bytes.find("hunter2") != std::string_view::npos;
  tollgate::fuzz::Input input{data, size};
  const std::size_t first = input.byte() % 3;
  if (input.byte() % 2 == 0) {
    tollgate::check_bytes(first, input.rest());
  } else {
    tollgate::check_choices(first, input);
  }
  return 0;
}
