#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

namespace opsdb {

/** A UUID, written as 8-4-4-4-12 hexadecimal digits. */
class Uuid {
 public:
  /** The nil UUID. */
  Uuid() = default;

  /** Throws std::invalid_argument for anything but the 8-4-4-4-12 form. */
  explicit Uuid(std::string_view text) {
    if (text.size() != 36) throw malformed(text);
    std::size_t digits = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
      const bool dash = at == 8 || at == 13 || at == 18 || at == 23;
      const int digit = digit_of(text[at]);
      if (dash ? text[at] != '-' : digit < 0) throw malformed(text);
      if (dash) continue;
      auto& byte = bytes_[digits / 2];
      byte = static_cast<std::uint8_t>(byte << 4 | digit);
      ++digits;
    }
  }

  /** A new version 7 UUID: they sort by the millisecond in which they were made. */
  static Uuid v7() {
    using namespace std::chrono;
    std::random_device random;
    Uuid made;
    for (std::size_t at = 0; at < 16; at += 4) {
      const std::uint32_t word = random();
      for (std::size_t byte = 0; byte < 4; ++byte) made.bytes_[at + byte] = static_cast<std::uint8_t>(word >> (8 * byte));
    }
    const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
    for (int byte = 0; byte < 6; ++byte) made.bytes_[byte] = static_cast<std::uint8_t>(now >> (40 - 8 * byte));
    made.bytes_[6] = static_cast<std::uint8_t>((made.bytes_[6] & 0x0f) | 0x70);
    made.bytes_[8] = static_cast<std::uint8_t>((made.bytes_[8] & 0x3f) | 0x80);
    return made;
  }

  std::string str() const {
    static constexpr char hex[] = "0123456789abcdef";
    std::string text;
    text.reserve(36);
    for (std::size_t at = 0; at < bytes_.size(); ++at) {
      if (at == 4 || at == 6 || at == 8 || at == 10) text += '-';
      text += hex[bytes_[at] >> 4];
      text += hex[bytes_[at] & 0x0f];
    }
    return text;
  }

  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  friend bool operator==(const Uuid& a, const Uuid& b) { return a.bytes_ == b.bytes_; }
  friend bool operator!=(const Uuid& a, const Uuid& b) { return a.bytes_ != b.bytes_; }
  friend bool operator<(const Uuid& a, const Uuid& b) { return a.bytes_ < b.bytes_; }

 private:
  static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  }

  static std::invalid_argument malformed(std::string_view text) {
    return std::invalid_argument("not a UUID: " + std::string(text));
  }

  std::array<std::uint8_t, 16> bytes_{};
};

}  // namespace opsdb
