/// What a limiter that is made from a URL passes on to its client. Thread safety: functions without state.
#pragma once

#include "tollgate/client_options.hpp"

namespace tollgate::inline v0 {

/// `options`, in which a null observer or clock is replaced by that of the limiter's `config`.
template <class Config>
[[nodiscard]] ClientOptions with_defaults_of(const Config& config, ClientOptions options) {
  if (!options.observer) options.observer = config.observer;
  if (!options.clock) options.clock = config.clock;
  return options;
}

}  // namespace tollgate::inline v0
