#include "common/base/attributes.h"

#include <gtest/gtest.h>

#include "common/base/utf8.h"

namespace pmshelf {
namespace {

using Map = std::map<std::string, std::string>;
using std::string_literals::operator""s;

TEST(Attributes, BytesAreThoseOfTheFormat) {
  auto bytes = encode_attributes({{"b", "xyz"}, {"a", ""}});
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(*bytes,
            "\x01\x00\x00\x00\x00\x00"s
            "a"
            "\x01\x00\x03\x00\x00\x00"s
            "bxyz");
}

TEST(Attributes, RoundTripWithBinaryValuesAndNone) {
  for (const Map& map : {Map{}, Map{{"dtype", "<f8"}, {"größe", "\0\xff\x01"s}}}) {
    auto bytes = encode_attributes(map);
    ASSERT_TRUE(bytes.ok());
    auto back = decode_attributes(*bytes);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, map);
  }
}

TEST(Attributes, BadKeysAreRefusedInBothDirections) {
  for (const std::string& key : {""s, std::string(256, 'k'), "a\0b"s, "\xff"s}) {
    EXPECT_EQ(encode_attributes({{key, "v"}}).code(), Code::kInvalidArgument);
    std::string bytes;
    bytes += static_cast<char>(key.size() & 0xff);
    bytes += static_cast<char>(key.size() >> 8);
    bytes += "\x01\0\0\0"s + key + "v";
    EXPECT_EQ(decode_attributes(bytes).code(), Code::kCorrupt);
  }
  EXPECT_TRUE(encode_attributes({{std::string(255, 'k'), "v"}}).ok());
}

TEST(Attributes, ExactlyTheLimitFitsAndOneByteMoreDoesNot) {
  const std::string fits(kAttributeBytesMax - 7, 'v');
  auto bytes = encode_attributes({{"k", fits}});
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->size(), kAttributeBytesMax);
  EXPECT_TRUE(decode_attributes(*bytes).ok());
  EXPECT_EQ(encode_attributes({{"k", fits + "v"}}).code(), Code::kInvalidArgument);
  EXPECT_EQ(decode_attributes(*bytes + "v").code(), Code::kCorrupt);
}

TEST(Attributes, EveryTruncationIsRefusedOrIsWhole) {
  auto bytes = encode_attributes({{"a", "1"}, {"b", "22"}});
  ASSERT_TRUE(bytes.ok());
  for (size_t length = 1; length < bytes->size(); ++length) {
    auto decoded = decode_attributes(std::string_view(*bytes).substr(0, length));
    if (length == 8) {
      EXPECT_EQ(*decoded, (Map{{"a", "1"}}));
    } else {
      EXPECT_EQ(decoded.code(), Code::kCorrupt) << length;
    }
  }
}

TEST(Attributes, KeysOutOfOrderOrTwiceAreRefused) {
  const std::string a = *encode_attributes({{"a", "1"}});
  const std::string b = *encode_attributes({{"b", "1"}});
  EXPECT_EQ(decode_attributes(b + a).code(), Code::kCorrupt);
  EXPECT_EQ(decode_attributes(a + a).code(), Code::kCorrupt);
  EXPECT_TRUE(decode_attributes(a + b).ok());
}

TEST(Attributes, LengthsThatWouldOverflowAreRefused) {
  EXPECT_EQ(decode_attributes("\x01\x00\xff\xff\xff\xff"s
                              "a")
                .code(),
            Code::kCorrupt);
  EXPECT_EQ(decode_attributes("\xff\xff\x00\x00\x00\x00"s).code(), Code::kCorrupt);
}

TEST(Utf8, WellFormedTextIsAccepted) {
  for (const char* text : {"", "abc", "é", "€", "\xF0\x9F\x98\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xF4\x8F\xBF\xBF", "\xE0\xA0\x80", "\xF0\x90\x80\x80", "\xC2\x80"}) {
    EXPECT_TRUE(is_valid_utf8(text)) << text;
  }
}

TEST(Utf8, OverlongSurrogateTruncatedAndTooLargeAreRefused) {
  for (const char* text : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
                           "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF",
                           "a\xC3", "\xE2\x82", "\xE2\x82x", "\xF0\x9F\x98", "\xC3("}) {
    EXPECT_FALSE(is_valid_utf8(text)) << testing::PrintToString(std::string(text));
  }
}

}  // namespace
}  // namespace pmshelf
