/// The message of the std::invalid_argument that an action throws.
/// Thread safety: a plain function.
#pragma once

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace tollgate {

template <class Action>
[[nodiscard]] std::string rejection(Action action) {
  try {
    action();
  } catch (const std::invalid_argument& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "not a std::invalid_argument: " << error.what();
    return {};
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace tollgate
