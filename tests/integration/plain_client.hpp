/// What the Python service does, in plain hiredis: INCRBY and EXPIRE 60 in one round trip, DECRBY when over the limit.
/// Thread safety: one thread.
#pragma once

#include <hiredis/hiredis.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace tollgate::tests {

class PlainClient {
 public:
  PlainClient(std::uint16_t port, long long limit) : PlainClient(redisConnect("127.0.0.1", port), limit) {}
  /// Owns the context, which must be connected.
  PlainClient(redisContext* context, long long limit) : context_(context), limit_(limit) {
    if (context_ != nullptr && context_->err == 0) return;
    redisFree(context_);
    throw std::runtime_error("no connection");
  }
  ~PlainClient() { redisFree(context_); }
  PlainClient(const PlainClient&) = delete;
  PlainClient& operator=(const PlainClient&) = delete;

  bool check_and_consume(const std::string& key, long long tokens) {
    append_charge(key, tokens);
    const bool allowed = read_charge();
    if (!allowed) {
      append_undo(key, tokens);
      read();
    }
    return allowed;
  }

  // The parts of check_and_consume(), for callers that append many charges before they read the replies, in order.
  void append_charge(const std::string& key, long long tokens) {
    redisAppendCommand(context_, "INCRBY %b %lld", key.data(), key.size(), tokens);
    redisAppendCommand(context_, "EXPIRE %b 60", key.data(), key.size());
  }
  void append_undo(const std::string& key, long long tokens) {
    redisAppendCommand(context_, "DECRBY %b %lld", key.data(), key.size(), tokens);
  }
  bool read_charge() {  // whether it fits
    const bool allowed = read() <= limit_;
    read();
    return allowed;
  }
  long long read() {
    void* reply = nullptr;
    if (redisGetReply(context_, &reply) != REDIS_OK) throw std::runtime_error(context_->errstr);
    const long long value = static_cast<redisReply*>(reply)->integer;
    freeReplyObject(reply);
    return value;
  }

 private:
  redisContext* context_;
  long long limit_;
};

}  // namespace tollgate::tests
