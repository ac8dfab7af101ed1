/// Makes, copies and classifies Failures without throwing: when memory is short, they have no texts.
/// Thread safety: plain functions.
#pragma once

#include <new>
#include <string>

#include "tollgate/error.hpp"

namespace tollgate::inline v0::detail {

[[nodiscard]] inline Failure copy_of(const Failure& failure) noexcept {
  try {
    return failure;
  } catch (const std::bad_alloc&) {
    return {failure.code, failure.may_have_executed};
  }
}

[[nodiscard]] inline Failure failure(Errc code, bool may_have_executed, const char* detail) noexcept {
  try {
    return {code, may_have_executed, detail};
  } catch (const std::bad_alloc&) {
    return {code, may_have_executed};
  }
}

/// Whether Redis refused to run a script because the user has no right to EVAL, or EVAL has been renamed. A script
/// whose keys or commands the user may not use is refused otherwise.
[[nodiscard]] inline bool refuses_scripts(const Failure& failure) noexcept {
  if (failure.may_have_executed) return false;
  return failure.code == Errc::kUnknownCommand ||
         (failure.code == Errc::kPermissionDenied && failure.server_text.find("run the 'eval") != std::string::npos);
}

}  // namespace tollgate::inline v0::detail
