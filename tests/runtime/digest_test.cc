#include "runtime/digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace bwrt::runtime {
namespace {

using ::testing::HasSubstr;
using Kind = Digest::Kind;

// 0, 1, ..., 250, 0, 1, ...
std::string Counting(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i % 251);
  return bytes;
}

struct Known {
  std::string bytes;
  const char* sha256;
  const char* xxh3;
};

// From Python's hashlib and xxhash. XXH3 treats short, long and very long input each in another way.
const Known kKnown[] = {
    {"", "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "xxh3:99aa06d3014798d86001c324468d497f"},
    {"abc", "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "xxh3:06b05ab6733a618578af5f94892f3950"},
    {Counting(1000), "sha256:4e4c294b331f7a2099a379bec34b9f9fc03dc46ab465d998f4d683da53487e6d",
     "xxh3:18bf41bc8229e27733ef703fb2b20ed1"},
    {Counting(300000), "sha256:3c65ea93424a9c362fec0e3a69ea36031e8a358441479dd665cc6110eabe7b08",
     "xxh3:b65af738c61b5fc15d12941f4cf541c5"},
};

TEST(DigestTest, KnownAnswers) {
  for (const Known& known : kKnown) {
    EXPECT_EQ(Digest::Of(Kind::kSha256, known.bytes).ToString(), known.sha256) << known.bytes.size();
    EXPECT_EQ(Digest::Of(Kind::kXxh3, known.bytes).ToString(), known.xxh3) << known.bytes.size();
  }
}

TEST(DigestTest, PiecesGiveTheDigestOfTheWhole) {
  for (const Known& known : kKnown) {
    for (const size_t piece : {size_t{1}, size_t{63}, size_t{4097}}) {
      Hasher sha256(Kind::kSha256);
      Hasher xxh3(Kind::kXxh3);
      absl::string_view rest = known.bytes;
      while (!rest.empty()) {
        sha256.Update(rest.substr(0, piece));
        xxh3.Update(rest.substr(0, piece));
        rest.remove_prefix(std::min(piece, rest.size()));
      }
      sha256.Update("");
      xxh3.Update(absl::string_view());
      EXPECT_EQ(sha256.Finish().ToString(), known.sha256) << known.bytes.size() << " by " << piece;
      EXPECT_EQ(xxh3.Finish().ToString(), known.xxh3) << known.bytes.size() << " by " << piece;
    }
  }
}

TEST(DigestTest, AMovedHasherGoesOn) {
  for (const Kind kind : {Kind::kSha256, Kind::kXxh3}) {
    Hasher first(kind);
    first.Update("a");
    Hasher second(std::move(first));
    second.Update("b");
    Hasher third(Kind::kXxh3);
    third.Update("forgotten");
    third = std::move(second);
    third.Update("c");
    EXPECT_EQ(third.Finish(), Digest::Of(kind, "abc"));
  }
}

TEST(DigestTest, ParseReadsWhatToStringWrites) {
  for (const Known& known : kKnown) {
    for (const char* text : {known.sha256, known.xxh3}) {
      const auto digest = Digest::Parse(text);
      ASSERT_TRUE(digest.ok()) << digest.status();
      EXPECT_EQ(digest->ToString(), text);
      const std::string prefix = digest->kind() == Kind::kSha256 ? "sha256:" : "xxh3:";
      EXPECT_EQ(absl::StrCat(prefix, digest->Hex()), text);
    }
    EXPECT_EQ(Digest::Parse(known.sha256)->kind(), Kind::kSha256);
    EXPECT_EQ(*Digest::Parse(known.sha256), Digest::Of(Kind::kSha256, known.bytes));
    EXPECT_EQ(Digest::Parse(known.xxh3)->kind(), Kind::kXxh3);
    EXPECT_EQ(*Digest::Parse(known.xxh3), Digest::Of(Kind::kXxh3, known.bytes));
  }
}

TEST(DigestTest, KindAndEveryDigitCount) {
  const std::string text = kKnown[1].sha256;
  const Digest digest = *Digest::Parse(text);
  for (size_t i = 7; i < text.size(); ++i) {
    std::string other = text;
    other[i] = other[i] == '0' ? '1' : '0';
    ASSERT_TRUE(Digest::Parse(other).ok());
    EXPECT_FALSE(*Digest::Parse(other) == digest) << i;
  }
  const std::string zeros(64, '0');
  EXPECT_FALSE(*Digest::Parse("sha256:" + zeros) == *Digest::Parse("xxh3:" + zeros.substr(32)));
}

TEST(DigestTest, AnythingElseIsRefused) {
  const std::string sha256 = kKnown[1].sha256;
  const std::string xxh3 = kKnown[1].xxh3;
  const std::string hex = sha256.substr(7);
  for (const std::string& text : {std::string(),
                                  std::string("sha256"),
                                  std::string("sha256:"),
                                  std::string("xxh3:"),
                                  hex,
                                  absl::AsciiStrToUpper(sha256),
                                  absl::StrCat("sha256:", absl::AsciiStrToUpper(hex)),
                                  absl::StrCat("SHA256:", hex),
                                  absl::StrCat("md5:", hex.substr(32)),
                                  absl::StrCat("sha512:", hex, hex),
                                  absl::StrCat("xxh64:", hex.substr(48)),
                                  absl::StrCat("xxh3:", hex),
                                  absl::StrCat("sha256:", hex.substr(32)),
                                  sha256 + "0",
                                  sha256.substr(0, sha256.size() - 1),
                                  xxh3 + "00",
                                  xxh3.substr(0, xxh3.size() - 2),
                                  " " + xxh3,
                                  xxh3 + " ",
                                  absl::StrCat("sha256: ", hex.substr(1)),
                                  absl::StrCat("sha256:0x", hex.substr(2)),
                                  absl::StrCat("sha256:g", hex.substr(1)),
                                  absl::StrCat("sha256:", std::string(1, '\0'), hex.substr(1))}) {
    const auto digest = Digest::Parse(text);
    ASSERT_FALSE(digest.ok()) << text;
    EXPECT_EQ(digest.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(digest.status().message()), HasSubstr("use sha256: and 64 lower-case hex digits"));
    EXPECT_LT(digest.status().message().size(), 512u);
  }
}

}  // namespace
}  // namespace bwrt::runtime
