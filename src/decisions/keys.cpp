#include "decisions/keys.hpp"

#include "values/hash_slot.hpp"
#include "values/parse_integer.hpp"

namespace tollgate::inline v0::decisions {

Key Key::operation(std::string_view prefix, std::string_view user_id, std::string_view kind,
                   std::string_view operation_id) noexcept {
  Key key{prefix, user_id};
  key.text_.append_operation(kind, operation_id);
  return key;
}

Key Key::operation(std::string_view prefix, std::string_view user_id, WindowId window, std::string_view kind,
                   std::string_view operation_id) noexcept {
  Key key = counter(prefix, user_id, window);
  const std::uint16_t slot = hash_slot(key.view());
  const bool has_tag = hash_tag(key.view()).has_value();
  const std::size_t open = key.view().find('{');
  const auto append_padding = [&key, slot](std::string_view hashed_before) {
    const SlotPadding padding = pad_to_slot(crc16(hashed_before), slot);
    key.append({padding.data(), padding.size()});
  };
  key.append(":");
  if (has_tag) {  // the record starts with the same tag
    key.text_.append_operation(kind, operation_id);
  } else if (open == std::string_view::npos) {  // no brace to begin a tag: it gets a tag of the right slot
    key.append("{");
    append_padding({});
    key.append("}:");
    key.text_.append_operation(kind, operation_id);
  } else if (key.view().substr(open).starts_with("{}")) {  // an empty tag: the whole key is hashed
    key.text_.append_operation(kind, operation_id);
    append_padding(key.view());
  } else {  // a brace that begins a tag and none that ends it: the tag is ended when it has the right slot
    append_padding(key.view().substr(open + 1));
    key.append("}:");
    key.text_.append_operation(kind, operation_id);
  }
  return key;
}

std::string counters_pattern(std::string_view prefix, std::string_view user_id) {
  std::string pattern;
  const auto append_escaped = [&pattern](std::string_view text) {
    for (const char character : text) {
      if (std::string_view{R"(*?[]\)"}.find(character) != std::string_view::npos) pattern += '\\';
      pattern += character;
    }
  };
  append_escaped(prefix);
  pattern += ':';
  append_escaped(user_id);
  pattern += ":*";
  return pattern;
}

bool is_counter_of(std::string_view key, std::string_view prefix, std::string_view user_id) noexcept {
  const auto take = [&key](std::string_view part) {
    if (!key.starts_with(part)) return false;
    key.remove_prefix(part.size());
    return true;
  };
  return take(prefix) && take(":") && take(user_id) && take(":") && detail::parse_integer(key).has_value();
}

std::optional<WindowId> window_of_counter(std::string_view key) noexcept {
  const std::size_t colon = key.rfind(':');
  const auto number = colon != std::string_view::npos ? detail::parse_integer(key.substr(colon + 1)) : std::nullopt;
  return number ? std::optional{WindowId{*number}} : std::nullopt;
}

}  // namespace tollgate::inline v0::decisions
