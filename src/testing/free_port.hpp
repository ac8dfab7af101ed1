/// Ports of the loopback interface that are free. Thread safety: plain functions.
#pragma once

#include <cstdint>

namespace tollgate::inline v0::testing {

/// Whether no socket listens on 127.0.0.1:`port`. Throws std::runtime_error.
[[nodiscard]] bool is_free(std::uint16_t port);

/// A random port below those that Linux gives to outgoing connections: a client that retries a dead server there may be
/// given the server's own port, and then talks to itself. It may be in use.
[[nodiscard]] std::uint16_t random_port();

/// A random port that was free when it was looked for.
[[nodiscard]] std::uint16_t free_port();

}  // namespace tollgate::inline v0::testing
