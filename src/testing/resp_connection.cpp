#include "resp_connection.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace tollgate::inline v0::testing {
namespace {

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("private redis-server: " + what); }
[[noreturn]] void fail_with_errno(const std::string& what) {
  fail(what + ": " + std::generic_category().message(errno));
}

}  // namespace

RespConnection::RespConnection(const std::string& socket_path, std::chrono::milliseconds timeout)
    : descriptor_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)),
      deadline_(std::chrono::steady_clock::now() + timeout) {
  if (descriptor_ < 0) fail_with_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
  // Blocking: a full backlog of a paused server would keep us, but only a test with hundreds of commands fills it.
  if (::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    ::close(descriptor_);
    errno = error;
    fail_with_errno("connect to " + socket_path);
  }
}

RespConnection::~RespConnection() { ::close(descriptor_); }

Reply RespConnection::command(const std::vector<std::string>& arguments) {
  send(arguments);
  return receive();
}

void RespConnection::send(const std::vector<std::string>& arguments) {
  std::string text;
  const auto append_length = [&text](char type, std::size_t length) {
    text.append(1, type).append(std::to_string(length)).append("\r\n");
  };
  append_length('*', arguments.size());
  for (const std::string& argument : arguments) {
    append_length('$', argument.size());
    text.append(argument).append("\r\n");
  }
  for (std::size_t sent = 0; sent < text.size();) {
    wait_for(POLLOUT);
    const ssize_t count = ::send(descriptor_, text.data() + sent, text.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN && errno != EINTR) fail_with_errno("send");
    if (count > 0) sent += static_cast<std::size_t>(count);
  }
}

Reply RespConnection::receive() {
  const std::string line = take_line();
  if (line.empty()) fail("an empty line instead of a reply");
  std::string rest = line.substr(1);
  switch (line[0]) {
    case '+': return Reply::status(std::move(rest));
    case '-': return Reply::error(std::move(rest));
    case ':': return Reply::integer(std::stoll(rest));
    case '$': {
      const long long length = std::stoll(rest);
      if (length < 0) return {};
      std::string text = take_bytes(static_cast<std::size_t>(length) + 2);
      text.resize(text.size() - 2);
      return Reply::string(std::move(text));
    }
    case '*': {
      const long long length = std::stoll(rest);
      if (length < 0) return {};
      std::vector<Reply> elements;
      for (long long i = 0; i < length; ++i) elements.push_back(receive());
      return Reply::array(std::move(elements));
    }
    default: fail("not a RESP2 reply: " + line);
  }
}

void RespConnection::wait_for(short events) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline_ - std::chrono::steady_clock::now());
  pollfd wanted{descriptor_, events, 0};
  if (left.count() <= 0 || ::poll(&wanted, 1, static_cast<int>(left.count())) == 0) fail("no reply in time");
}

void RespConnection::fill() {
  wait_for(POLLIN);
  char bytes[16384];
  const ssize_t count = ::recv(descriptor_, bytes, sizeof bytes, MSG_DONTWAIT);
  if (count == 0) fail("the connection was closed");
  if (count < 0 && errno != EAGAIN && errno != EINTR) fail_with_errno("recv");
  if (count <= 0) return;
  buffer_.erase(0, std::exchange(consumed_, 0));
  buffer_.append(bytes, static_cast<std::size_t>(count));
}

std::string RespConnection::take_line() {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n", consumed_)) == std::string::npos) fill();
  std::string line = buffer_.substr(consumed_, end - consumed_);
  consumed_ = end + 2;
  return line;
}

std::string RespConnection::take_bytes(std::size_t count) {
  while (buffer_.size() - consumed_ < count) fill();
  std::string bytes = buffer_.substr(consumed_, count);
  consumed_ += count;
  return bytes;
}

}  // namespace tollgate::inline v0::testing
