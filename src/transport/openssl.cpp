#include "transport/openssl.hpp"

#include <atomic>

namespace tollgate::inline v0::openssl {
namespace {

constinit std::atomic<bool> ended{false};

}  // namespace

bool has_ended() noexcept { return ended.load(std::memory_order_acquire); }

void start() noexcept {
  // A local static, so that the handler is registered once, and after OpenSSL's own initialization.
  [[maybe_unused]] static const int registered = [] {
    OPENSSL_init_ssl(0, nullptr);
    return OPENSSL_atexit([] { ended.store(true, std::memory_order_release); });
  }();
}

}  // namespace tollgate::inline v0::openssl
