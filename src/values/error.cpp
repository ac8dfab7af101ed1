#include "tollgate/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tollgate::inline v0 {
namespace {

enum class Remedy : std::uint8_t { kRetry, kNone, kSetUp };

struct Meaning {
  Errc code;
  Remedy remedy;
  std::string_view message;
};

constexpr std::array kMeanings{
    Meaning{Errc::kTimeout, Remedy::kRetry, "the deadline passed"},
    Meaning{Errc::kConnectFailed, Remedy::kRetry, "no connection to Redis"},
    Meaning{Errc::kConnectionLost, Remedy::kRetry, "the connection to Redis was lost"},
    Meaning{Errc::kOverloaded, Remedy::kRetry, "too many requests in flight"},
    Meaning{Errc::kProtocol, Remedy::kNone, "unexpected reply from Redis"},
    Meaning{Errc::kServerError, Remedy::kNone, "Redis answered with an error"},
    Meaning{Errc::kOutOfMemory, Remedy::kRetry, "Redis is out of memory (OOM)"},
    Meaning{Errc::kAuthRequired, Remedy::kSetUp, "Redis requires a password (NOAUTH)"},
    Meaning{Errc::kAuthFailed, Remedy::kSetUp, "Redis refused the user or the password (WRONGPASS)"},
    Meaning{Errc::kPermissionDenied, Remedy::kSetUp, "Redis's ACL forbids the command or the key (NOPERM)"},
    Meaning{Errc::kLoading, Remedy::kRetry, "Redis is not ready yet (LOADING)"},
    Meaning{Errc::kReadOnly, Remedy::kRetry, "Redis accepts no writes now (READONLY)"},
    Meaning{Errc::kBusy, Remedy::kRetry, "Redis is busy with a script (BUSY)"},
    Meaning{Errc::kWrongType, Remedy::kSetUp, "the key does not hold a counter (WRONGTYPE)"},
    Meaning{Errc::kOverflow, Remedy::kNone, "the counter would overflow"},
    Meaning{Errc::kMoved, Remedy::kSetUp,
            "this node of a Redis Cluster does not hold the key (MOVED); the URL must start with redis+cluster:// or "
            "rediss+cluster://"},
    Meaning{Errc::kCrossSlot, Remedy::kSetUp, "the keys lie in different slots of a Redis Cluster (CROSSSLOT)"},
    Meaning{Errc::kUnknownCommand, Remedy::kSetUp,
            "Redis has no such command, or it was renamed, or this is a sentinel, whose URL must start with "
            "redis+sentinel:// or rediss+sentinel:// (ERR unknown command)"},
    Meaning{Errc::kTlsFailed, Remedy::kSetUp, "no TLS connection to Redis"},
    Meaning{Errc::kWrongTopology, Remedy::kSetUp, "the URL does not fit the servers"},
};

const Meaning* meaning_of(int code) noexcept {
  for (const Meaning& meaning : kMeanings) {
    if (static_cast<int>(meaning.code) == code) return &meaning;
  }
  return nullptr;
}

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "tollgate"; }
  std::string message(int code) const override {
    const Meaning* meaning = meaning_of(code);
    return std::string{meaning != nullptr ? meaning->message : "unknown error"};
  }
  std::error_condition default_error_condition(int code) const noexcept override {
    if (code == static_cast<int>(Errc::kTimeout)) return std::errc::timed_out;
    return {code, *this};
  }
};

std::string describe(const Failure& failure) {
  return fmt::format("tollgate: {}{}{}{}{}", failure.code.message(), failure.detail.empty() ? "" : ": ", failure.detail,
                     is_misconfiguration(failure.code) ? "; this is a configuration error, not an outage" : "",
                     failure.may_have_executed ? "; the request may have been executed" : "");
}

struct ErrorReply {
  std::string_view start;
  Errc code;
};

// The first words of Redis 6.2 and 7 error replies; the two without a word of their own say ERR.
constexpr std::array kErrorReplies{
    ErrorReply{"OOM ", Errc::kOutOfMemory},
    ErrorReply{"NOAUTH ", Errc::kAuthRequired},
    ErrorReply{"WRONGPASS ", Errc::kAuthFailed},
    ErrorReply{"ERR AUTH ", Errc::kAuthFailed},
    ErrorReply{"ERR invalid password", Errc::kAuthFailed},
    ErrorReply{"ERR Client sent AUTH", Errc::kAuthFailed},
    ErrorReply{"NOPERM ", Errc::kPermissionDenied},
    ErrorReply{"LOADING ", Errc::kLoading},
    ErrorReply{"MASTERDOWN ", Errc::kLoading},
    ErrorReply{"CLUSTERDOWN ", Errc::kLoading},
    ErrorReply{"TRYAGAIN ", Errc::kLoading},
    ErrorReply{"READONLY ", Errc::kReadOnly},
    ErrorReply{"MISCONF ", Errc::kReadOnly},
    ErrorReply{"NOREPLICAS ", Errc::kReadOnly},
    ErrorReply{"BUSY ", Errc::kBusy},
    ErrorReply{"WRONGTYPE ", Errc::kWrongType},
    ErrorReply{"ERR value is not an integer", Errc::kWrongType},
    ErrorReply{"MOVED ", Errc::kMoved},
    ErrorReply{"ASK ", Errc::kMoved},
    ErrorReply{"CROSSSLOT ", Errc::kCrossSlot},
    ErrorReply{"ERR unknown command", Errc::kUnknownCommand},
    ErrorReply{"ERR The user executing the script can't", Errc::kPermissionDenied},
    ErrorReply{"ERR increment or decrement would overflow", Errc::kOverflow},
};

/// Redis before 7 wraps the error of a command that a script called: `ERR Error running script (call to f_…):
/// @user_script:1: @user_script: 1: -OOM command not allowed …`. Returns the command's own error.
std::string_view unwrap_script_error(std::string_view server_text) {
  constexpr std::string_view kWrapped = "ERR Error running script";
  constexpr std::string_view kPlace = "@user_script: ";
  if (!server_text.starts_with(kWrapped)) return server_text;
  const std::size_t place = server_text.find(kPlace);
  if (place == std::string_view::npos) return server_text;
  const std::size_t colon = server_text.find(": ", place + kPlace.size());
  if (colon == std::string_view::npos) return server_text;
  const std::string_view error = server_text.substr(colon + 2);
  return error.starts_with('-') ? error.substr(1) : error;
}

/// The part of an error reply that may be shown: its code word, such as `OOM`, or `ERR unknown command`. The rest may
/// contain user data, as may a first word that is not in capitals.
std::string_view code_word(std::string_view server_text) {
  constexpr std::string_view kUnknown = "ERR unknown command";
  if (server_text.starts_with(kUnknown)) return kUnknown;
  constexpr std::size_t kLongest = 24;
  const std::string_view word = server_text.substr(0, server_text.find(' '));
  const bool capitals = std::all_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  return capitals && !word.empty() && word.size() <= kLongest ? word : "an error";
}

}  // namespace

const std::error_category& error_category() noexcept {
  // Never destroyed: error codes are compared, and limiters used, while statics are being destroyed.
  union Lasting {
    constexpr Lasting() noexcept : category{} {}
    ~Lasting() {}  // NOLINT(modernize-use-equals-default): defaulted, it would be deleted
    Category category;
  };
  static constinit Lasting lasting;
  return lasting.category;
}

std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), error_category()}; }

bool is_retryable(std::error_code code) noexcept {
  if (code.category() != error_category()) return false;
  const Meaning* meaning = meaning_of(code.value());
  return meaning != nullptr && meaning->remedy == Remedy::kRetry;
}

bool is_misconfiguration(std::error_code code) noexcept {
  if (code.category() != error_category()) return false;
  const Meaning* meaning = meaning_of(code.value());
  return meaning != nullptr && meaning->remedy == Remedy::kSetUp;
}

Error::Error(Failure failure) : std::runtime_error(describe(failure)), failure_(std::move(failure)) {}

void throw_failure(Failure failure) {
  if (failure.code.category() != error_category()) throw Error{std::move(failure)};  // from an injected client
  const auto code = static_cast<Errc>(failure.code.value());
  switch (code) {
    case Errc::kTimeout: throw TimeoutError{std::move(failure)};
    case Errc::kConnectFailed:
    case Errc::kConnectionLost:
    case Errc::kOverloaded:
    case Errc::kProtocol:
    case Errc::kTlsFailed:
    case Errc::kWrongTopology: throw ConnectionError{std::move(failure)};
    default: throw ServerError{std::move(failure)};
  }
}

Failure failure_from_error_reply(std::string_view server_text, std::string_view command) {
  const std::string_view error = unwrap_script_error(server_text);
  Errc code = Errc::kServerError;
  for (const ErrorReply& reply : kErrorReplies) {
    if (error.starts_with(reply.start)) {
      code = reply.code;
      break;
    }
  }
  std::string detail;
  if (!command.empty()) detail = fmt::format("{} was answered with {}", command, code_word(error));
  return {code, false, std::move(detail), std::string{server_text}};
}

}  // namespace tollgate::inline v0
