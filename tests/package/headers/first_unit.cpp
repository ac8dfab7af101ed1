// One of two units that include every public header: what a header defines must be the same thing in both.
#include <iostream>

#include "everything.hpp"
#include "units.hpp"

units::Seen units::first() {
  return {reinterpret_cast<const void*>(&tollgate::system_clock), &tollgate::kMaxTokens, &tollgate::error_category(),
          &tollgate::LatencyHistogram::kBuckets};
}

int main() {
  if (!(units::first() == units::second())) {
    std::cerr << "the two units see different objects\n";
    return 1;
  }
  return units::admits() ? 0 : 1;
}
