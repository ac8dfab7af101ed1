/// What an error reply of a Cluster's node means for the command that it answers. Every such reply says that the
/// command was not executed. Pure.
/// https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#redirection-and-resharding
/// Thread safety: plain values and functions.
#pragma once

#include <cstdint>
#include <string_view>

#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

struct Redirection {
  enum class Kind : std::uint8_t {
    kNone,   ///< a final reply
    kMoved,  ///< the slot is at another node from now on
    kAsk,    ///< this command alone is to be sent to another node, behind ASKING
    kWait,   ///< the slot is served by no node now (TRYAGAIN, CLUSTERDOWN), or by another than this (READONLY)
  };

  Kind kind = Kind::kNone;
  std::uint16_t slot = 0;  ///< of kMoved and kAsk
  std::string_view host =
      {};                  ///< of kMoved and kAsk; empty or "?" = the host that answered. Valid as long as the reply
  std::uint16_t port = 0;  ///< of kMoved and kAsk
};

/// A redirection that cannot be read (slot, port or the host's length out of range) is kNone: then its text is the
/// outcome.
[[nodiscard]] Redirection redirection_in(std::string_view error) noexcept;
[[nodiscard]] inline Redirection redirection_in(const Reply& reply) noexcept {
  return reply.is_error() ? redirection_in(std::string_view{reply.text()}) : Redirection{};
}

/// Whether a reply of `replies` is an error, and one that redirection_in() reads. One comparison for most replies.
[[nodiscard]] inline bool any_redirection(const Replies& replies) noexcept {
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].is_error() && redirection_in(replies[i]).kind != Redirection::Kind::kNone) return true;
  }
  return false;
}

}  // namespace tollgate::inline v0
