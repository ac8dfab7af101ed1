/// What GoogleTest prints of a header.
/// Thread safety: a plain function.
#pragma once

#include <ostream>

#include "tollgate/http_headers.hpp"

namespace tollgate::inline v0 {

inline void PrintTo(const HttpHeader& header, std::ostream* out) { *out << header.name << ": " << header.value; }

}  // namespace tollgate::inline v0
