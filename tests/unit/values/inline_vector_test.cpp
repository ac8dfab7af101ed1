#include "tollgate/detail/inline_vector.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace tollgate::detail {
namespace {

using Texts = InlineVector<std::string, 2>;

Texts up_to(int count) {
  Texts texts;
  for (int i = 0; i < count; ++i) texts.push_back("element " + std::to_string(i) + " is too long to be stored inline");
  return texts;
}

void expect_up_to(const Texts& texts, int count) {
  ASSERT_EQ(texts.size(), static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    EXPECT_EQ(texts[static_cast<std::size_t>(i)], "element " + std::to_string(i) + " is too long to be stored inline");
  }
}

TEST(InlineVector, StartsEmpty) {
  const Texts texts;
  EXPECT_TRUE(texts.empty());
  EXPECT_EQ(texts.size(), 0U);
}

TEST(InlineVector, KeepsItsElementsInOrderInsideAndOnTheHeap) {
  for (int count = 0; count <= 9; ++count) expect_up_to(up_to(count), count);
}

TEST(InlineVector, KeepsItsFirstElementsInsideItself) {
  const InlineVector<int, 2> numbers = [] {
    InlineVector<int, 2> made;
    for (int i = 0; i < 3; ++i) made.push_back(i);
    return made;
  }();
  const auto is_inside = [&numbers](const int& element) {
    const auto* const begin = reinterpret_cast<const char*>(&numbers);
    const auto* const address = reinterpret_cast<const char*>(&element);
    return std::less_equal<>{}(begin, address) && std::less<>{}(address, begin + sizeof numbers);
  };
  EXPECT_TRUE(is_inside(numbers[0]));
  EXPECT_TRUE(is_inside(numbers[1]));
  EXPECT_FALSE(is_inside(numbers[2]));
}

TEST(InlineVector, LetsItsElementsBeChanged) {
  Texts texts = up_to(3);
  texts[0] = "inside";
  texts[2] = "on the heap";
  EXPECT_EQ(texts[0], "inside");
  EXPECT_EQ(texts[2], "on the heap");
}

TEST(InlineVector, IsCopiedElementByElement) {
  const Texts original = up_to(4);
  Texts copy = original;
  copy[0] = "changed";
  copy[3] = "changed";
  copy.push_back("more");
  expect_up_to(original, 4);
  EXPECT_EQ(copy.size(), 5U);
}

TEST(InlineVector, MovesItsElements) {
  Texts from = up_to(4);
  const Texts to = std::move(from);
  expect_up_to(to, 4);
}

TEST(InlineVector, HoldsElementsThatCanOnlyBeMoved) {
  InlineVector<std::unique_ptr<int>, 1> pointers;
  pointers.push_back(std::make_unique<int>(1));
  pointers.push_back(std::make_unique<int>(2));
  EXPECT_EQ(*pointers[0], 1);
  EXPECT_EQ(*pointers[1], 2);
}

TEST(InlineVector, StartsAfreshWhenCleared) {
  Texts texts = up_to(4);
  texts.clear();
  EXPECT_TRUE(texts.empty());
  texts.push_back("one");
  texts.push_back("two");
  texts.push_back("three");
  EXPECT_EQ(texts.size(), 3U);
  EXPECT_EQ(texts[0], "one");
  EXPECT_EQ(texts[2], "three");
}

}  // namespace
}  // namespace tollgate::detail
