/// Declarations that the two units of this program share. Thread safety: plain values.
#pragma once

namespace units {

/// Addresses of what headers define or declare.
struct Seen {
  const void* system_clock;
  const void* max_tokens;
  const void* error_category;
  const void* histogram_buckets;
  bool operator==(const Seen&) const = default;
};

Seen first();
Seen second();
bool admits();

}  // namespace units
