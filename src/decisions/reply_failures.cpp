#include "decisions/reply_failures.hpp"

#include <cstddef>
#include <system_error>

#include "values/failures.hpp"

namespace tollgate::inline v0::decisions {
namespace {

Failure failure_of(const Reply& error, Operation operation) noexcept {
  try {
    return failure_from_error_reply(error.text(), name_of(operation));
  } catch (...) {
    return {std::make_error_code(std::errc::not_enough_memory)};
  }
}

}  // namespace

Failure find_failure(const ReplyRange& replies, std::initializer_list<Operation> expected) noexcept {
  if (replies.failure().code) return detail::copy_of(replies.failure());
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].is_error()) {
      return failure_of(replies[i], i < expected.size() ? expected.begin()[i] : *expected.begin());
    }
  }
  if (replies.size() != expected.size()) return detail::failure(Errc::kProtocol, false, "not one reply per command");
  return {};
}

Failure unexpected_reply() noexcept { return detail::failure(Errc::kProtocol, false, "a reply has the wrong type"); }

}  // namespace tollgate::inline v0::decisions
