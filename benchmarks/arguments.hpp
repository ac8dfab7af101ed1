/// The arguments `key=value` of a benchmark. What is wrong is std::invalid_argument that names the key, its value and
/// its range.
/// Thread safety: one thread.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tollgate::benchmarks {

class Arguments {
 public:
  Arguments(int count, char** words) {
    for (int i = 1; i < count; ++i) {
      const std::string_view word = words[i];
      const auto equals = word.find('=');
      if (equals == std::string_view::npos) {
        throw std::invalid_argument(fmt::format("{}: arguments are key=value", word));
      }
      given_[std::string{word.substr(0, equals)}] = word.substr(equals + 1);
    }
  }

  template <class Number>
  Number number(const std::string& key, Number otherwise, Number lowest, Number highest) {
    known_.push_back(key);
    const auto found = given_.find(key);
    if (found == given_.end()) return otherwise;
    const std::string& text = found->second;
    Number value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc{} && end == text.data() + text.size() && value >= lowest && value <= highest) return value;
    throw std::invalid_argument(fmt::format("{}={}: must be {} … {}", key, text, lowest, highest));
  }

  /// `otherwise`: the first choice when empty.
  std::string choice(const std::string& key, const std::vector<std::string>& choices,
                     const std::string& otherwise = {}) {
    known_.push_back(key);
    const auto found = given_.find(key);
    if (found == given_.end()) return otherwise.empty() ? choices.front() : otherwise;
    if (std::find(choices.begin(), choices.end(), found->second) != choices.end()) return found->second;
    throw std::invalid_argument(fmt::format("{}={}: must be one of {}", key, found->second, fmt::join(choices, ", ")));
  }

  /// Called after all arguments were read: refuses unknown ones.
  void refuse_others() const {
    for (const auto& [key, value] : given_) {
      if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
      throw std::invalid_argument(fmt::format("{}={}: the keys are {}", key, value, fmt::join(known_, ", ")));
    }
  }

 private:
  std::map<std::string, std::string> given_;
  std::vector<std::string> known_;
};

}  // namespace tollgate::benchmarks
