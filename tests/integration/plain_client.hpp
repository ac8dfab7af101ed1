/// What the Python service next door does, in plain hiredis: INCRBY and EXPIRE 60 in one trip, DECRBY when over.
/// Thread safety: one thread.
#pragma once

#include <hiredis/hiredis.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace tollgate::tests {

class PlainClient {
 public:
  PlainClient(std::uint16_t port, long long limit) : context_(redisConnect("127.0.0.1", port)), limit_(limit) {
    if (context_ == nullptr || context_->err != 0) throw std::runtime_error("no connection");
  }
  ~PlainClient() { redisFree(context_); }
  PlainClient(const PlainClient&) = delete;
  PlainClient& operator=(const PlainClient&) = delete;

  bool check_and_consume(const std::string& key, long long tokens) {
    redisAppendCommand(context_, "INCRBY %b %lld", key.data(), key.size(), tokens);
    redisAppendCommand(context_, "EXPIRE %b 60", key.data(), key.size());
    const bool allowed = read() <= limit_;
    read();
    if (!allowed) {
      redisAppendCommand(context_, "DECRBY %b %lld", key.data(), key.size(), tokens);
      read();
    }
    return allowed;
  }

 private:
  long long read() {
    void* reply = nullptr;
    if (redisGetReply(context_, &reply) != REDIS_OK) throw std::runtime_error(context_->errstr);
    const long long value = static_cast<redisReply*>(reply)->integer;
    freeReplyObject(reply);
    return value;
  }

  redisContext* context_;
  long long limit_;
};

}  // namespace tollgate::tests
