/// The sides of a comparison: tollgate, and what one would write in its place in plain hiredis.
/// Thread safety: a Side may make calls for several threads at once; each Call belongs to one thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tollgate/rate_limit_config.hpp"
#include "users.hpp"

namespace tollgate::benchmarks {

/// One call of the side, made again and again by one thread. Returns how many decisions it made; throws when one of
/// them is not what it has to be.
using Call = std::function<int()>;

struct Side {
  int threads;        ///< that make its calls
  double factor = 1;  ///< by which its decisions count
  std::function<Call(int thread)> make_call;
};

struct SideOptions {
  std::string url;
  int threads = 0;
  int clients = 0;  ///< of tollgate, over which the threads are spread
  int depth = 0;    ///< decisions per call, where a call makes many
  RateLimitConfig config;
};

/// The first is tollgate.
[[nodiscard]] const std::vector<std::string>& side_names();

/// `users` must outlive it.
[[nodiscard]] Side make_side(const std::string& name, const SideOptions& options, const Users& users);

}  // namespace tollgate::benchmarks
