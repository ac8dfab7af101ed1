/// The failure of a request among the replies to its commands. Throws nothing: when memory is short, a failure has no
/// texts. Thread safety: plain functions.
#pragma once

#include <initializer_list>

#include "tollgate/error.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::decisions {

/// The first error of the replies: a failed round trip, an error reply, or a wrong number of replies. `expected`: the
/// commands of the request, one or more.
[[nodiscard]] Failure find_failure(const ReplyRange& replies, std::initializer_list<Operation> expected) noexcept;

/// For a reply that is no error, and not what the command is answered with.
[[nodiscard]] Failure unexpected_reply() noexcept;

}  // namespace tollgate::inline v0::decisions
