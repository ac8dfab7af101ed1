#include "tollgate/error.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace tollgate::inline v0 {
namespace {

struct Meaning {
  Errc code;
  bool retryable;
  std::string_view message;
};

constexpr std::array kMeanings{
    Meaning{Errc::kTimeout, true, "the deadline passed"},
    Meaning{Errc::kConnectFailed, true, "no connection to Redis"},
    Meaning{Errc::kConnectionLost, true, "the connection to Redis was lost"},
    Meaning{Errc::kOverloaded, true, "too many requests in flight"},
    Meaning{Errc::kProtocol, false, "unexpected reply from Redis"},
    Meaning{Errc::kServerError, false, "Redis answered with an error"},
    Meaning{Errc::kOutOfMemory, true, "Redis is out of memory (OOM)"},
    Meaning{Errc::kAuthRequired, false, "Redis wants a password (NOAUTH)"},
    Meaning{Errc::kAuthFailed, false, "Redis refused the user or the password (WRONGPASS)"},
    Meaning{Errc::kPermissionDenied, false, "Redis's ACL forbids the command or the key (NOPERM)"},
    Meaning{Errc::kLoading, true, "Redis is not ready yet (LOADING)"},
    Meaning{Errc::kReadOnly, true, "Redis takes no writes now (READONLY)"},
    Meaning{Errc::kBusy, true, "Redis is busy with a script (BUSY)"},
    Meaning{Errc::kWrongType, false, "the key holds something that is no counter (WRONGTYPE)"},
    Meaning{Errc::kOverflow, false, "the counter would overflow"},
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
  return fmt::format("tollgate: {}{}{}{}", failure.code.message(), failure.detail.empty() ? "" : ": ", failure.detail,
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
    ErrorReply{"BUSY ", Errc::kBusy},
    ErrorReply{"WRONGTYPE ", Errc::kWrongType},
    ErrorReply{"ERR value is not an integer", Errc::kWrongType},
    ErrorReply{"ERR increment or decrement would overflow", Errc::kOverflow},
};

}  // namespace

const std::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), error_category()}; }

bool is_retryable(std::error_code code) noexcept {
  if (code.category() != error_category()) return false;
  const Meaning* meaning = meaning_of(code.value());
  return meaning != nullptr && meaning->retryable;
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
    case Errc::kProtocol: throw ConnectionError{std::move(failure)};
    default: throw ServerError{std::move(failure)};
  }
}

Failure failure_from_error_reply(std::string_view server_text) {
  Errc code = Errc::kServerError;
  for (const ErrorReply& reply : kErrorReplies) {
    if (server_text.starts_with(reply.start)) {
      code = reply.code;
      break;
    }
  }
  return {code, false, {}, std::string{server_text}};
}

}  // namespace tollgate::inline v0
