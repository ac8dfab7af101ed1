/// Memory of short-lived objects of one size, kept for the next of them, so that the steady state allocates nothing;
/// for std::allocate_shared. Thread safety: all of it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

namespace tollgate::inline v0::detail {

class RecycledBlocks {
 public:
  static constexpr std::size_t kMostKept = 256;

  RecycledBlocks() = default;
  RecycledBlocks(const RecycledBlocks&) = delete;
  RecycledBlocks& operator=(const RecycledBlocks&) = delete;
  ~RecycledBlocks() {
    for (void* block : kept_) ::operator delete(block);
  }

  [[nodiscard]] void* take(std::size_t size) {
    {
      const std::lock_guard lock{mutex_};
      if (size == size_ && !kept_.empty()) {
        void* const block = kept_.back();
        kept_.pop_back();
        return block;
      }
    }
    return ::operator new(size);
  }

  void give_back(void* block, std::size_t size) noexcept {
    {
      const std::lock_guard lock{mutex_};
      if (kept_.empty()) size_ = size;
      if (size == size_ && keep(block)) return;
    }
    ::operator delete(block);
  }

 private:
  [[nodiscard]] bool keep(void* block) noexcept try {
    if (kept_.size() >= kMostKept) return false;
    kept_.push_back(block);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }

  std::mutex mutex_;
  std::size_t size_ = 0;  // of each block that is kept
  std::vector<void*> kept_;
};

/// `blocks` must outlive what is allocated.
template <class T>
class RecyclingAllocator {
 public:
  using value_type = T;  // NOLINT(readability-identifier-naming): the name that std::allocator_traits requires

  explicit RecyclingAllocator(RecycledBlocks& blocks) noexcept : blocks_(&blocks) {}
  template <class Other>
  RecyclingAllocator(const RecyclingAllocator<Other>& other) noexcept  // NOLINT(google-explicit-constructor)
      : blocks_(other.blocks()) {}

  [[nodiscard]] T* allocate(std::size_t count) { return static_cast<T*>(blocks_->take(count * sizeof(T))); }
  void deallocate(T* block, std::size_t count) noexcept { blocks_->give_back(block, count * sizeof(T)); }

  [[nodiscard]] RecycledBlocks* blocks() const noexcept { return blocks_; }
  template <class Other>
  [[nodiscard]] bool operator==(const RecyclingAllocator<Other>& other) const noexcept {
    return blocks_ == other.blocks();
  }

 private:
  RecycledBlocks* blocks_;
};

}  // namespace tollgate::inline v0::detail
