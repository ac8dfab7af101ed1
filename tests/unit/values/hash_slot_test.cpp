#include "values/hash_slot.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tollgate {
namespace {

using namespace std::string_literals;

TEST(HashSlot, IsTheOneOfTheClusterSpecification) {
  EXPECT_EQ(crc16("123456789"), 0x31C3);  // its test vector
  EXPECT_EQ(hash_slot("foo"), 12182);     // as CLUSTER KEYSLOT answers
  EXPECT_EQ(hash_slot(""), 0);
  EXPECT_EQ(hash_slot("{user1000}.following"), hash_slot("user1000"));
  EXPECT_EQ(hash_slot("foo{}{bar}"), crc16("foo{}{bar}") % kHashSlots);
  EXPECT_EQ(hash_slot("foo{{bar}}zap"), hash_slot("{bar"));
  EXPECT_EQ(hash_slot("foo{bar}{zap}"), hash_slot("bar"));
  EXPECT_EQ(hash_slot("a\0\xff"s), crc16("a\0\xff"s) % kHashSlots);
}

TEST(HashSlot, IsContinuedByParts) { EXPECT_EQ(crc16("6789", crc16("12345")), crc16("123456789")); }

TEST(HashSlot, IsReachedByPaddingFromEverywhere) {
  for (const std::string before : {"", "a", "{", "some text", "\xff\xff"}) {
    for (int slot = 0; slot < kHashSlots; ++slot) {
      const SlotPadding padding = pad_to_slot(crc16(before), static_cast<std::uint16_t>(slot));
      std::string text = before;
      for (const char character : padding) {
        ASSERT_GE(character, '@');
        ASSERT_LE(character, 'O');
        text += character;
      }
      ASSERT_EQ(crc16(text) % kHashSlots, slot) << before;
    }
  }
}

}  // namespace
}  // namespace tollgate
