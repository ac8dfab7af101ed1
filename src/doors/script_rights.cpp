#include "doors/script_rights.hpp"

namespace tollgate::inline v0 {

using decisions::Scripts;

Scripts ScriptRights::scripts(const RedisClient& client) {
  if (Failure found = client.script_refusal(); found.code) refused(std::move(found));
  const bool are_refused =
      is_refused_.load(std::memory_order_acquire) && clock_->steady_now() < retry_at_.load(std::memory_order_relaxed);
  return are_refused ? Scripts::kRefused : Scripts::kRun;
}

void ScriptRights::refused(Failure refusal) {
  retry_at_.store(clock_->steady_now() + kRetryInterval, std::memory_order_relaxed);
  {
    const std::lock_guard lock{mutex_};
    refusal_ = std::move(refusal);
  }
  if (is_refused_.exchange(true, std::memory_order_acq_rel)) return;
  events_->report(EventKind::kScriptsRefused, 0, explain_script_refusal(this->refusal()));
}

Failure ScriptRights::refusal() const {
  if (!is_refused_.load(std::memory_order_acquire)) return {};
  const std::lock_guard lock{mutex_};
  return refusal_;
}

Failure explain_script_refusal(Failure refusal) {
  if (!refusal.detail.empty()) refusal.detail += "; ";
  refusal.detail +=
      "Redis refuses scripts from this user, so tokens are given back without them; grant it EVAL and EVALSHA "
      "(ACL SETUSER <user> +eval +evalsha), and do not rename them";
  return refusal;
}

}  // namespace tollgate::inline v0
