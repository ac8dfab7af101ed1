/// Makes and copies Failures without throwing: when memory is short, they have no texts.
/// Thread safety: plain functions.
#pragma once

#include <new>

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

}  // namespace tollgate::inline v0::detail
