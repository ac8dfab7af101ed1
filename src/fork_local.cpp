#include "tollgate/detail/fork_local.hpp"

#include <pthread.h>

namespace tollgate::inline v0::detail {
namespace {

std::atomic<std::uint64_t> generation{0};

// Registered before main, so that no fork can be missed.
[[maybe_unused]] const int kRegistered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

std::uint64_t fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace tollgate::inline v0::detail
