/// Starts threads of the library. Thread safety: a plain function.
#pragma once

#include <functional>
#include <thread>

namespace tollgate::inline v0::detail {

/// Starts a thread on which every signal is blocked, so that the program's signal handlers run on its own threads.
/// Throws std::system_error or std::bad_alloc; the caller's signal mask is unchanged in any case.
[[nodiscard]] std::thread start_background_thread(std::function<void()> work);

}  // namespace tollgate::inline v0::detail
