// A user's program that is compiled with -fno-exceptions: the public headers neither throw nor catch.
#include <tollgate/connect.hpp>
#include <tollgate/error.hpp>
#include <tollgate/observer.hpp>
#include <tollgate/redis_client.hpp>
#include <tollgate/redis_rate_limiter.hpp>
#include <tollgate/reservation.hpp>
#include <tollgate/stats.hpp>

namespace {

/// Counts what went wrong, as a program without exceptions would see it.
class CountingObserver : public tollgate::Observer {
 public:
  void on_event(const tollgate::Event&) noexcept override { ++events; }

  int events = 0;
};

/// A client whose every answer is a failure.
class FailingClient : public tollgate::RedisClient {
 public:
  tollgate::BatchResult execute(const tollgate::CommandBatch&, Deadline,
                                const std::shared_ptr<tollgate::ReplyHandler>&) override {
    return {{}, {tollgate::Errc::kConnectFailed, false}};
  }
  void post(tollgate::CommandBatch batch, std::shared_ptr<tollgate::ReplyHandler> handler) override {
    if (handler) handler->handle(*this, batch, {{}, {tollgate::Errc::kConnectFailed, false}});
  }
};

}  // namespace

int main() {
  tollgate::RedisRateLimiter limiter{"memory://", {.max_tokens_per_minute = 100}};
  tollgate::Reservation reservation = limiter.reserve("user_42", 60);
  reservation.settle(50);
  const bool settled = limiter.get_remaining("user_42") == 50 && limiter.stats().allowed.total() == 1;

  const auto observer = std::make_shared<CountingObserver>();
  tollgate::RedisRateLimiter offline{std::make_shared<FailingClient>(), {.observer = observer}};
  const tollgate::Decision refused = offline.try_consume("user_42", 1);
  const bool explained = !refused && refused.failure == tollgate::Errc::kConnectFailed && observer->events == 1;
  return settled && explained ? 0 : 1;
}
