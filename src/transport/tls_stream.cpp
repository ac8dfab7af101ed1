#include "transport/tls_stream.hpp"

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

namespace tollgate::inline v0 {
namespace {

// While another thread sends, records may be added to the queue up to this size.
constexpr std::size_t kMaxQueued = 64UL * 1024;

}  // namespace

TlsStream::TlsStream(std::unique_ptr<OpenSocket> socket, std::unique_ptr<TlsEngine> engine) noexcept
    : socket_(std::move(socket)), engine_(std::move(engine)) {}

TlsStream::Progress TlsStream::handshake() {
  Lock lock{mutex_};
  for (;;) {
    const TlsEngine::Status status = engine_->handshake();
    flush(lock);  // also the alert that names what failed
    if (status == TlsEngine::Status::kOk) {
      may_have_more_.store(true, std::memory_order_relaxed);  // records behind the handshake may have come with it
      return Progress::kDone;
    }
    if (status == TlsEngine::Status::kFailed) return Progress::kFailed;
    if (status == TlsEngine::Status::kClosed) {
      failure_ = engine_->ended_in_handshake("the connection was ended");
      return Progress::kFailed;
    }
    std::array<char, kRecordRoom> bytes;
    const Result received = socket_.receive(bytes, false);
    switch (received.status) {
      case Status::kOk: engine_->feed({bytes.data(), received.count}); break;
      case Status::kAgain: return Progress::kPending;
      case Status::kClosed:
        failure_ = engine_->ended_in_handshake("the connection was closed");
        return Progress::kFailed;
      case Status::kFailed:
        failure_ = engine_->ended_in_handshake(std::system_category().message(received.error));
        return Progress::kFailed;
    }
  }
}

ByteStream::Result TlsStream::receive(std::span<char> room, bool may_wait) noexcept {
  if (may_have_more_.load(std::memory_order_relaxed)) {
    Lock lock{mutex_};
    const Result result = read(lock, room);
    if (result.status != Status::kAgain) return result;
  }
  if (has_unsent_.load(std::memory_order_relaxed)) {
    if (std::exchange(may_wait, false)) {
      static_cast<void>(socket_.wait(std::chrono::steady_clock::now() + longest_wait(), true));
    }
    Lock lock{mutex_};
    flush(lock);
  }
  std::array<char, kRecordRoom> bytes;
  const Result received = socket_.receive(bytes, may_wait);
  if (received.status != Status::kOk) return received;
  Lock lock{mutex_};
  engine_->feed({bytes.data(), received.count});
  return read(lock, room);
}

/// Reads what the engine has, and sends what it has to answer.
ByteStream::Result TlsStream::read(Lock& lock, std::span<char> room) noexcept {
  const TlsEngine::Result result = engine_->read(room);
  may_have_more_.store(!engine_->needs_input(), std::memory_order_relaxed);
  flush(lock);
  switch (result.status) {
    case TlsEngine::Status::kOk: return {Status::kOk, result.count};
    case TlsEngine::Status::kNeedsInput: return {Status::kAgain};
    case TlsEngine::Status::kClosed: return {Status::kClosed};
    case TlsEngine::Status::kFailed: break;
  }
  return {Status::kFailed};
}

ByteStream::Result TlsStream::send(std::string_view bytes) noexcept {
  Lock lock{mutex_};
  flush(lock);
  if (send_error_ != 0) return {Status::kFailed, 0, send_error_};
  const std::size_t queued = size_ - sent_ + engine_->output_size();
  if (queued > (is_sending_ ? kMaxQueued : 0)) return {Status::kAgain};
  const TlsEngine::Result result = engine_->write(bytes);
  if (result.status == TlsEngine::Status::kNeedsInput) return {Status::kAgain};
  if (result.status != TlsEngine::Status::kOk) return {Status::kFailed};
  flush(lock);  // when that fails, the bytes may have left in part: they count as sent, and the next call fails
  return {Status::kOk, result.count};
}

/// Sends the queue as far as the peer takes it. While another thread does so, that one sends these records too.
void TlsStream::flush(Lock& lock) noexcept {
  if (!is_sending_) {
    is_sending_ = true;
    while (send_error_ == 0) {
      if (sent_ == size_) {
        sent_ = 0;
        size_ = engine_->take_output(sending_);
        if (size_ == 0) break;
      }
      lock.unlock();
      const Result result = socket_.send({sending_.data() + sent_, size_ - sent_});
      lock.lock();
      if (result.status == Status::kAgain) break;
      if (result.status == Status::kOk) {
        sent_ += result.count;
      } else {
        send_error_ = result.error;
      }
    }
    is_sending_ = false;
  }
  has_unsent_.store(send_error_ == 0 && (sent_ < size_ || engine_->output_size() > 0), std::memory_order_relaxed);
}

bool TlsStream::wait(Time deadline, bool for_write) const noexcept {
  if (may_have_more_.load(std::memory_order_relaxed)) return true;
  return socket_.wait(deadline, for_write || has_unsent_.load(std::memory_order_relaxed));
}

void TlsStream::shut_down() noexcept {
  {
    Lock lock{mutex_};
    engine_->close();
    flush(lock);
  }
  socket_.shut_down();
}

Failure TlsStream::failure() const {
  const Lock lock{mutex_};
  return failure_.code ? failure_ : engine_->failure();
}

}  // namespace tollgate::inline v0
