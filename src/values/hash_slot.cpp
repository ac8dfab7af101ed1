#include "values/hash_slot.hpp"

#include <utility>

namespace tollgate::inline v0 {
namespace {

constexpr std::array<std::uint16_t, 256> make_crc_table() {
  constexpr unsigned kPolynomial = 0x1021;
  std::array<std::uint16_t, 256> table{};
  for (unsigned byte = 0; byte < table.size(); ++byte) {
    unsigned crc = byte << 8U;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000U) != 0 ? crc << 1U ^ kPolynomial : crc << 1U;
    table[byte] = static_cast<std::uint16_t>(crc);
  }
  return table;
}

constexpr std::array<std::uint16_t, 256> kCrcTable = make_crc_table();

constexpr std::uint16_t next_crc(std::uint16_t crc, char character) {
  const unsigned index = (static_cast<unsigned>(crc) >> 8U ^ static_cast<unsigned char>(character)) & 0xFFU;
  return static_cast<std::uint16_t>(static_cast<unsigned>(crc) << 8U ^ kCrcTable[index]);
}

constexpr std::uint16_t kSlotMask = kHashSlots - 1;
constexpr int kSlotBits = 14;
constexpr int kFreeBits = 16;  // the low four of each of the four characters

/// What `bits` of the padding change in the CRC behind it.
constexpr std::uint16_t effect_of(unsigned bits) {
  std::uint16_t crc = 0;
  for (unsigned i = 0; i < 4; ++i) crc = next_crc(crc, static_cast<char>(bits >> (4 * i) & 15U));
  return crc;
}

/// For each bit of a slot, the bits of the padding that change it and no other: by Gauss-Jordan elimination.
constexpr std::array<std::uint16_t, kSlotBits> solve_for_slot_bits() {
  std::array<std::uint16_t, kFreeBits> bits{};
  std::array<std::uint16_t, kFreeBits> effects{};
  for (unsigned i = 0; i < kFreeBits; ++i) {
    bits[i] = static_cast<std::uint16_t>(1U << i);
    effects[i] = effect_of(bits[i]) & kSlotMask;
  }
  for (std::size_t bit = 0; bit < kSlotBits; ++bit) {
    std::size_t pivot = bit;
    while ((effects.at(pivot) >> bit & 1) == 0) ++pivot;  // evaluated at compile time, which fails when there is none
    std::swap(bits[bit], bits[pivot]);
    std::swap(effects[bit], effects[pivot]);
    for (std::size_t row = 0; row < kFreeBits; ++row) {
      if (row == bit || (effects[row] >> bit & 1) == 0) continue;
      effects[row] ^= effects[bit];
      bits[row] ^= bits[bit];
    }
  }
  std::array<std::uint16_t, kSlotBits> solution{};
  for (std::size_t bit = 0; bit < kSlotBits; ++bit) solution[bit] = bits[bit];
  return solution;
}

constexpr std::array<std::uint16_t, kSlotBits> kBitsForSlotBit = solve_for_slot_bits();

}  // namespace

std::uint16_t crc16(std::string_view text, std::uint16_t before) noexcept {
  for (const char character : text) before = next_crc(before, character);
  return before;
}

std::optional<std::string_view> hash_tag(std::string_view key) noexcept {
  const std::size_t open = key.find('{');
  if (open == std::string_view::npos) return std::nullopt;
  const std::size_t close = key.find('}', open + 1);
  if (close == std::string_view::npos || close == open + 1) return std::nullopt;
  return key.substr(open + 1, close - open - 1);
}

std::uint16_t hash_slot(std::string_view key) noexcept { return crc16(hash_tag(key).value_or(key)) & kSlotMask; }

SlotPadding pad_to_slot(std::uint16_t before, std::uint16_t slot) noexcept {
  SlotPadding padding{'@', '@', '@', '@'};
  const unsigned missing = (crc16({padding.data(), padding.size()}, before) ^ slot) & kSlotMask;
  unsigned bits = 0;
  for (std::size_t bit = 0; bit < kSlotBits; ++bit) {
    if ((missing >> bit & 1U) != 0) bits ^= kBitsForSlotBit[bit];
  }
  for (std::size_t i = 0; i < padding.size(); ++i) padding[i] = static_cast<char>('@' + (bits >> (4 * i) & 15U));
  return padding;
}

}  // namespace tollgate::inline v0
