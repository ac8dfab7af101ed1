/// Scopes for what a thread holds in a Pipeline, so that it is given up on return and on exceptions.
/// Thread safety: each belongs to one thread, which holds the Pipeline's lock whenever one begins or ends.
#pragma once

#include <optional>

#include "transport/pipeline.hpp"

namespace tollgate::inline v0 {

/// A call's exchange and its roles. The destructor unlocks.
class Pipeline::CallScope {
 public:
  CallScope(Pipeline& pipeline, Lock& lock) noexcept : pipeline_(pipeline), lock_(lock) {}
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;
  ~CallScope() {
    if (exchange_) pipeline_.leave(lock_, *exchange_);
    pipeline_.hand_over(lock_);
  }

  void hold(Handle exchange) noexcept { exchange_ = exchange; }
  [[nodiscard]] Handle exchange() const noexcept { return *exchange_; }
  /// The call no longer owns the exchange.
  void release() noexcept { exchange_.reset(); }

 private:
  Pipeline& pipeline_;
  Lock& lock_;
  std::optional<Handle> exchange_;
};

/// The driver's role, for a thread without an exchange.
class Pipeline::DriverScope {
 public:
  explicit DriverScope(Pipeline& pipeline) noexcept : pipeline_(pipeline) { pipeline_.driver_ = this; }
  DriverScope(const DriverScope&) = delete;
  DriverScope& operator=(const DriverScope&) = delete;
  ~DriverScope() { pipeline_.driver_ = nullptr; }

 private:
  Pipeline& pipeline_;
};

}  // namespace tollgate::inline v0
