#include "transport/resolver.hpp"

#include <new>
#include <system_error>

#include "transport/name_lookup.hpp"
#include "values/background_thread.hpp"
#include "values/fork_local.hpp"

namespace tollgate::inline v0 {
namespace {

void launch_thread(std::function<void()> task) { detail::start_background_thread(std::move(task)).detach(); }

}  // namespace

Resolver& Resolver::of_process() {
  using Resolvers = detail::ForkLocal<Resolver>;
  static Resolvers& resolvers =
      *new Resolvers{[](Resolver*) { return std::make_unique<Resolver>(look_up_name, launch_thread); }};
  return resolvers.get();
}

std::shared_ptr<Resolution> Resolver::start(const std::string& host, std::uint16_t port) {
  const std::lock_guard lock{
      mutex_};  // held while a thread is started, so that no caller joins a look-up that never runs
  const auto [entry, is_new] = under_way_.try_emplace({host, port});
  if (!is_new) return entry->second;
  try {
    entry->second = std::make_shared<Resolution>();
    launch_([this, entry = entry] { run(entry); });
    return entry->second;
  } catch (const std::system_error& error) {
    std::shared_ptr<Resolution> failed = std::move(entry->second);
    under_way_.erase(entry);
    failed->finish({{}, "no thread to look it up: " + error.code().message()});
    return failed;
  } catch (...) {
    under_way_.erase(entry);
    throw;
  }
}

void Resolver::run(Entry entry) noexcept {
  // No lock: the key does not change, and the entry is erased here alone.
  const auto& [host, port] = entry->first;
  HostAddresses found;
  try {
    found = look_up_(host, port);
  } catch (const std::bad_alloc&) {
    found.error = "out of memory";  // short enough to need no allocation
  }
  std::shared_ptr<Resolution> resolution;
  {
    const std::lock_guard lock{mutex_};
    resolution = std::move(entry->second);
    under_way_.erase(entry);
  }
  resolution->finish(std::move(found));
}

}  // namespace tollgate::inline v0
