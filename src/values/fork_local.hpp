/// State that a forked child must not share with its parent: locks that another thread may have held at the fork,
/// connections, memories. The child makes a new object at its first use and never touches the inherited one.
/// Thread safety: get() may be called from all threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace tollgate::inline v0::detail {

/// Incremented in every forked child, by src/values/fork_local.cpp.
extern std::atomic<std::uint64_t> forks;

/// Differs between a process and every child that it forks. One atomic load.
[[nodiscard]] inline std::uint64_t fork_generation() noexcept { return forks.load(std::memory_order_relaxed); }

template <class T>
class ForkLocal {
 public:
  /// `make` is given the object that was inherited from the parent, or null for the first.
  using Make = std::function<std::unique_ptr<T>(T* inherited)>;

  explicit ForkLocal(Make make = [](T*) { return std::make_unique<T>(); })
      : make_(std::move(make)), current_(new Node{make_(nullptr), fork_generation()}) {}
  ForkLocal(const ForkLocal&) = delete;
  ForkLocal& operator=(const ForkLocal&) = delete;

  /// In a forked child that never used it, the inherited object is leaked: to destroy a locked mutex, or to finish the
  /// parent's work, would be worse than a leak.
  ~ForkLocal() {
    Node* node = current_.load(std::memory_order_acquire);
    if (node->generation == fork_generation()) delete node;
  }

  /// The object of this process, where it has one: null in a forked child that never used it.
  [[nodiscard]] T* get_if_made() noexcept {
    Node* node = current_.load(std::memory_order_acquire);
    return node->generation == fork_generation() ? node->object.get() : nullptr;
  }

  [[nodiscard]] T& get() {
    Node* node = current_.load(std::memory_order_acquire);
    if (node->generation == fork_generation()) return *node->object;
    return replace(node);
  }

 private:
  struct Node {
    std::unique_ptr<T> object;
    std::uint64_t generation;
  };

  [[gnu::noinline, gnu::cold]] T& replace(Node* inherited) {
    auto fresh = std::make_unique<Node>(Node{make_(inherited->object.get()), fork_generation()});
    if (current_.compare_exchange_strong(inherited, fresh.get(), std::memory_order_acq_rel)) {
      return *fresh.release()->object;
    }
    return *inherited->object;  // another thread of the child was first
  }

  Make make_;
  std::atomic<Node*> current_;
};

}  // namespace tollgate::inline v0::detail
