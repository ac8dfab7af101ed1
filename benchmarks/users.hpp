/// The requests and their expected decisions: one token each, of users whose budgets are never used up and of users
/// whose budgets are, in this minute and the next. Thread safety: Users is immutable; a Queue belongs to one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "tollgate/testing/redis_server.hpp"

namespace tollgate::benchmarks {

enum class Mix : std::uint8_t { kAllow, kDeny, kMixed };

class Users {
 public:
  static constexpr std::int64_t kLimit = 1'000'000'000'000;

  struct Request {
    const std::string& user;
    bool allowed;
  };

  /// `count` users of each kind.
  Users(int count, Mix mix) : mix_(mix) {
    for (int i = 0; i < count; ++i) {
      fresh_.push_back("user_" + std::to_string(i));
      used_up_.push_back("over_" + std::to_string(i));
    }
  }

  /// Deletes all counters but those of used-up budgets, so that each side begins alike.
  void prepare(const testing::RedisServer& server) const {
    server.command({"FLUSHALL"});
    const auto minute = std::chrono::floor<std::chrono::minutes>(std::chrono::system_clock::now()).time_since_epoch();
    for (std::int64_t i = 0; i < 2; ++i) use_up(server, std::to_string(minute.count() + i));
  }

 private:
  friend class Queue;

  void use_up(const testing::RedisServer& server, const std::string& minute) const {
    if (mix_ == Mix::kAllow) return;
    const std::string script = R"(
      for i = 0, ARGV[1] - 1 do
        redis.call('SET', 'ractogateway:ratelimit:over_' .. i .. ':' .. ARGV[2], ARGV[3], 'EX', 180)
      end)";
    const Reply reply =
        server.command({"EVAL", script, "0", std::to_string(used_up_.size()), minute, std::to_string(kLimit)});
    if (reply.is_error()) throw std::runtime_error(reply.text());
  }

  Mix mix_;
  std::vector<std::string> fresh_;
  std::vector<std::string> used_up_;
};

/// The requests of one thread: users at random; with Mix::kMixed every other one is used up.
class Queue {
 public:
  Queue(const Users& users, int thread) : Queue(users, thread, users.mix_) {}
  Queue(const Users& users, int thread, Mix mix)
      : users_(users), mix_(mix), random_(static_cast<unsigned>(thread) + 1) {}

  Users::Request next() {
    turn_ = !turn_;
    const bool allowed = mix_ == Mix::kAllow || (mix_ == Mix::kMixed && turn_);
    const std::vector<std::string>& group = allowed ? users_.fresh_ : users_.used_up_;
    return {group[random_() % group.size()], allowed};
  }

 private:
  const Users& users_;
  Mix mix_;
  std::minstd_rand random_;
  bool turn_ = false;
};

}  // namespace tollgate::benchmarks
