/// Host names for tests of slow and long name resolution, without a name server: a program that links made_up_names.cpp
/// has a getaddrinfo() that resolves them, and passes all others to the C library's. tollgate's handling of the result
/// is tested; the C library's resolver is not. Thread safety: getaddrinfo may be called from all threads.
#pragma once

#include <chrono>
#include <string_view>

namespace tollgate::tests {

/// Is 127.0.0.1, as is found out after a while.
constexpr std::string_view kSlowName = "slow.tollgate.test";
constexpr std::chrono::milliseconds kSlowNameTakes{600};

/// With the number of a port behind it: a name of two addresses, 127.0.0.1 at that port before the requested one.
constexpr std::string_view kDeadFirstName = "dead-first.tollgate.test-";

}  // namespace tollgate::tests
