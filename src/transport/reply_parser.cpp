#include "transport/reply_parser.hpp"

#include <new>
#include <string>
#include <utility>

namespace tollgate::inline v0 {
namespace {

// A SCAN page has about 500 elements, and memory is reserved for the announced length, so a larger length, which no
// reply to tollgate has, is an error.
constexpr auto kMaxElements = 65'536;
// The size of a string and of an array is limited, because hiredis buffers a string until it is complete, and we store
// the elements of an array. A key in a SCAN page has at most about 1 KiB.
constexpr std::size_t kMaxString = std::size_t{1} << 20U;
constexpr std::size_t kMaxReply = std::size_t{4} << 20U;

ReplyParser::Building& building_of(const redisReadTask* task) {
  return *static_cast<ReplyParser::Building*>(task->privdata);
}

Reply* place_of(const redisReadTask* task) {
  if (task->parent == nullptr) return &building_of(task).root;
  auto* const parent = static_cast<Reply*>(task->parent->obj);
  return &parent->elements()[static_cast<std::size_t>(task->idx)];
}

// hiredis calls these functions from C, so they must not throw. Null means "out of memory".
template <class Build>
void* build(const redisReadTask* task, Build make) noexcept {
  try {
    Reply* const place = place_of(task);
    *place = make();
    return place;
  } catch (const std::bad_alloc&) {
    building_of(task).is_out_of_memory = true;
    return nullptr;
  }
}

void* create_string(const redisReadTask* task, char* text, std::size_t length) {
  return build(task, [&] {
    std::string copy{text, length};
    if (task->type == REDIS_REPLY_ERROR) return Reply::error(std::move(copy));
    if (task->type == REDIS_REPLY_STATUS) return Reply::status(std::move(copy));
    return Reply::string(std::move(copy));
  });
}

template <class Count>  // int before hiredis 1.0, size_t since
void* create_array(const redisReadTask* task, Count count) {
  if (count < 0 || count > static_cast<Count>(kMaxElements)) return nullptr;
  return build(task, [&] { return Reply::array(std::vector<Reply>(static_cast<std::size_t>(count))); });
}

// For RESP3 only, which tollgate never requests; hiredis 1.x requires every builder.
template <class Functions>
void fill_resp3(Functions& functions) {
  if constexpr (requires { functions.createDouble; }) {
    functions.createDouble = [](const redisReadTask* task, double, char* text, std::size_t length) {
      return create_string(task, text, length);
    };
    functions.createBool = [](const redisReadTask* task, int value) {
      return build(task, [&] { return Reply::integer(value); });
    };
  }
}

redisReplyObjectFunctions make_functions() {
  redisReplyObjectFunctions functions{};
  functions.createString = create_string;
  functions.createArray = [](const redisReadTask* task, auto count) -> void* { return create_array(task, count); };
  functions.createInteger = [](const redisReadTask* task, long long value) -> void* {
    return build(task, [&] { return Reply::integer(value); });
  };
  functions.createNil = [](const redisReadTask* task) -> void* { return build(task, [] { return Reply{}; }); };
  functions.freeObject = [](void*) {};  // every object is a part of the root
  fill_resp3(functions);
  return functions;
}

}  // namespace

ReplyParser::ReplyParser() {
  static redisReplyObjectFunctions functions = make_functions();  // trivially destructible
  reader_.reset(redisReaderCreateWithFunctions(&functions));
  if (!reader_) throw std::bad_alloc{};
  reader_->privdata = &building_;
}

/// False for bytes that are not a reply; throws when memory is short, which hiredis does not distinguish when a builder
/// fails.
bool ReplyParser::refused() const {
  if (building_.is_out_of_memory) throw std::bad_alloc{};
  return false;
}

bool ReplyParser::feed(std::string_view bytes, std::vector<Reply>& out) {
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK) return refused();
  unfinished_ += bytes.size();
  for (;;) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) return refused();
    if (reply == nullptr) return unread() <= kMaxString && unfinished_ <= kMaxReply;
    unfinished_ = unread();
    out.push_back(std::move(building_.root));
  }
}

}  // namespace tollgate::inline v0
