#include "values/fork_local.hpp"

#include <pthread.h>

namespace tollgate::inline v0::detail {

constinit std::atomic<std::uint64_t> forks{0};

namespace {

// Registered before main, so that no fork can be missed.
[[maybe_unused]] const int kRegistered =
    pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

}  // namespace tollgate::inline v0::detail
