#include "transport/script_preload.hpp"

#include <new>
#include <string_view>

namespace tollgate::inline v0 {
namespace {

/// Whether the error is about rights. Other errors (LOADING, OOM, BUSY) are temporary.
bool refuses_scripts(const Reply& reply) noexcept {
  if (!reply.is_error()) return false;
  const std::string_view text = reply.text();
  return text.starts_with("NOPERM") || text.starts_with("ERR unknown command");
}

}  // namespace

void ScriptList::add(std::span<const Script* const> scripts) noexcept {
  for (const Script* script : scripts) {
    for (auto& slot : scripts_) {
      const Script* listed = nullptr;
      if (slot.compare_exchange_strong(listed, script, std::memory_order_acq_rel) || listed == script) break;
    }
  }
}

CommandBatch ScriptList::batch() const {
  CommandBatch batch;
  for (const auto& slot : scripts_) {
    const Script* script = slot.load(std::memory_order_acquire);
    if (script == nullptr) break;
    batch.run(*script, std::span<const std::string_view>{}, {});
  }
  return batch;
}

void ScriptPreload::handle(RedisClient& /*client*/, const CommandBatch& /*batch*/, const BatchResult& result) noexcept {
  if (!result.ok()) return;  // unknown until the next connection loads them
  const Reply* refused = nullptr;
  for (std::size_t i = 0; i < result.replies.size() && refused == nullptr; ++i) {
    if (refuses_scripts(result.replies[i])) refused = &result.replies[i];
  }
  if (refused == nullptr && !is_refused_.load(std::memory_order_relaxed)) return;
  const std::lock_guard lock{mutex_};
  try {
    refusal_ = refused == nullptr ? Failure{} : failure_from_error_reply(refused->text(), "EVAL");
  } catch (const std::bad_alloc&) {
    refusal_ = {Errc::kPermissionDenied};
  }
  is_refused_.store(refused != nullptr, std::memory_order_release);
}

Failure ScriptPreload::refusal() const {
  if (!is_refused_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock{mutex_};
  return refusal_;
}

}  // namespace tollgate::inline v0
