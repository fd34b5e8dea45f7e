#include "runtime/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Length(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i));
  return bytes;
}

std::string Prefix(const std::string& json) { return Length(json.size()) + json; }

// The header `json` of a file with `data_bytes` of data.
absl::StatusOr<SafetensorsHeader> Parse(const std::string& json, int64_t data_bytes, const Limits& limits = {}) {
  return ParseSafetensorsHeader(Prefix(json), 8 + static_cast<int64_t>(json.size()) + data_bytes, limits);
}

void ExpectBad(const absl::Status& status, const std::string& why) {
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << why;
  EXPECT_EQ(GetReason(status), "SAFETENSORS_HEADER") << why;
  EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  EXPECT_THAT(std::string(status.message()), testing::StartsWith("safetensors header: "));
  EXPECT_LT(status.message().size(), 1024u);
}

void ExpectRefused(const std::string& json, int64_t data_bytes, const std::string& why, const Limits& limits = {}) {
  ExpectBad(Parse(json, data_bytes, limits).status(), why);
}

// One tensor "w" with these members.
std::string One(const std::string& members) { return absl::StrCat("{\"w\":{", members, "}}"); }

std::string Entry(const std::string& name, int64_t begin, int64_t end) {
  return absl::StrCat("\"", name, "\":{\"dtype\":\"U8\",\"shape\":[", end - begin, "],\"data_offsets\":[", begin, ",",
                      end, "]}");
}

TEST(SafetensorsTest, ReadsWhatItsLibraryWrites) {
  const std::string json = R"({"__metadata__":{"x":"y"},"a":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                           R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]}}  )";
  const auto header = Parse(json, 32);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->data_offset, 8 + static_cast<int64_t>(json.size()));
  ASSERT_EQ(header->tensors.size(), 2u);
  const SafetensorsEntry& a = header->tensors[0];
  EXPECT_EQ(a.name, "a");
  EXPECT_EQ(a.type, (TensorType{*ElementType::FromWire(ElementType::kI64), {1}})) << "a scalar has shape [1]";
  EXPECT_EQ(a.offset, 0);
  EXPECT_EQ(a.bytes, 8);
  const SafetensorsEntry& b = header->tensors[1];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.type, (TensorType{kernels::DType::kF32, {2, 3}}));
  EXPECT_EQ(b.offset, 8);
  EXPECT_EQ(b.bytes, 24);
}

TEST(SafetensorsTest, SortsByNameWhateverTheOrderOfTheData) {
  const auto header = Parse(absl::StrCat("{", Entry("c", 0, 1), ",", Entry("a", 3, 6), ",", Entry("b", 1, 3), "}"), 6);
  ASSERT_TRUE(header.ok()) << header.status();
  ASSERT_EQ(header->tensors.size(), 3u);
  EXPECT_EQ(header->tensors[0].name, "a");
  EXPECT_EQ(header->tensors[0].offset, 3);
  EXPECT_EQ(header->tensors[1].name, "b");
  EXPECT_EQ(header->tensors[2].name, "c");
}

TEST(SafetensorsTest, EveryDtype) {
  const std::pair<const char*, ElementType::Code> types[] = {
      {"F64", ElementType::kF64},   {"F32", ElementType::kF32},        {"F16", ElementType::kF16},
      {"BF16", ElementType::kBF16}, {"I64", ElementType::kI64},        {"I32", ElementType::kI32},
      {"I16", ElementType::kI16},   {"I8", ElementType::kI8},          {"U64", ElementType::kU64},
      {"U32", ElementType::kU32},   {"U16", ElementType::kU16},        {"U8", ElementType::kU8},
      {"BOOL", ElementType::kBool}, {"F8_E4M3", ElementType::kF8E4M3}, {"F8_E5M2", ElementType::kF8E5M2}};
  for (const auto& [name, code] : types) {
    const int64_t bytes = 3 * ElementType::FromWire(code)->size();
    const auto header =
        Parse(One(absl::StrCat("\"data_offsets\":[0,", bytes, "],\"shape\":[3],\"dtype\":\"", name, "\"")), bytes);
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->tensors[0].type.dtype.code(), code) << name;
  }
  for (const char* name : {"f32", "F8_E8M0", "F4", "", "C64"}) {
    ExpectRefused(One(absl::StrCat("\"dtype\":\"", name, "\",\"shape\":[1],\"data_offsets\":[0,1]")), 1,
                  absl::StrCat("tensor \"w\": dtype \"", name, "\" is not known; use F64"));
  }
}

TEST(SafetensorsTest, AFileMayHoldNothing) {
  const auto header = Parse("{}", 0);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_THAT(header->tensors, IsEmpty());
  ExpectRefused("{}", 1, "the tensors end at 0, but the file has 1 bytes of data");
}

TEST(SafetensorsTest, TheLengthIsBounded) {
  const auto length = [](uint64_t length, int64_t file_bytes) {
    return SafetensorsHeaderLength(Length(length), file_bytes);
  };
  EXPECT_EQ(*length(2, 10), 2);
  EXPECT_EQ(*length(100'000'000, int64_t{1} << 40), 100'000'000);
  ExpectBad(length(3, 10).status(), "its length is 3 bytes: at most 2 for this file of 10 bytes");
  ExpectBad(length(100'000'001, int64_t{1} << 40).status(), "its length is 100000001 bytes: at most 100000000");
  for (const uint64_t hostile : {uint64_t{1} << 60, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    ExpectBad(length(hostile, int64_t{1} << 40).status(), absl::StrCat("its length is ", hostile, " bytes"));
  }
  for (int64_t size = 0; size < 8; ++size) {
    ExpectBad(length(2, size).status(), absl::StrCat("only ", size, " bytes"));
    ExpectBad(SafetensorsHeaderLength(std::string(static_cast<size_t>(size), 'x'), 100).status(), "only ");
  }
}

TEST(SafetensorsTest, TruncatedHeadersAreRefused) {
  const std::string json = absl::StrCat("{", Entry("w", 0, 4), "}");
  const std::string whole = Prefix(json);
  const auto file_bytes = static_cast<int64_t>(whole.size()) + 4;
  EXPECT_TRUE(ParseSafetensorsHeader(whole, file_bytes, Limits{}).ok());
  EXPECT_TRUE(ParseSafetensorsHeader(whole + "data", file_bytes, Limits{}).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    ExpectBad(ParseSafetensorsHeader(whole.substr(0, size), file_bytes, Limits{}).status(), "only ");
  }
  for (size_t size = 0; size < json.size(); ++size) EXPECT_FALSE(Parse(json.substr(0, size), 4).ok()) << size;
}

TEST(SafetensorsTest, TheDataIsCoveredExactly) {
  const auto two = [](int64_t a, int64_t b, int64_t c, int64_t d) {
    return absl::StrCat("{", Entry("x", a, b), ",", Entry("y", c, d), "}");
  };
  EXPECT_TRUE(Parse(two(0, 4, 4, 8), 8).ok());
  EXPECT_TRUE(Parse(two(4, 8, 0, 4), 8).ok());
  ExpectRefused(two(0, 4, 3, 8), 8, "tensor \"y\": its data begins at 3, inside another tensor, which ends at 4");
  ExpectRefused(two(0, 4, 0, 4), 4, "inside another tensor, which ends at 4");
  ExpectRefused(two(0, 8, 2, 4), 8, "tensor \"y\": its data begins at 2, inside another tensor, which ends at 8");
  ExpectRefused(two(0, 4, 5, 8), 8,
                "tensor \"y\": its data begins at 5, but the tensor before ends at 4; leave no gaps");
  ExpectRefused(two(1, 4, 4, 8), 8, "tensor \"x\": its data begins at 1, but the tensor before ends at 0");
  ExpectRefused(two(0, 4, 4, 8), 9, "the tensors end at 8, but the file has 9 bytes of data");
  ExpectRefused(two(0, 4, 4, 8), 7, "tensor \"y\": its data begins at 4 and ends at 8, but the file has only 7 bytes");
}

TEST(SafetensorsTest, OffsetsMustMatchShapeAndDtype) {
  const auto with = [](const std::string& offsets) {
    return One(absl::StrCat("\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":", offsets));
  };
  EXPECT_TRUE(Parse(with("[0,24]"), 24).ok());
  ExpectRefused(with("[0,23]"), 23, "tensor \"w\": data_offsets [0, 23]: shape and dtype f32 need exactly 24 bytes");
  ExpectRefused(with("[0,25]"), 25, "need exactly 24 bytes");
  ExpectRefused(with("[24,0]"), 24, "data_offsets [24, 0]");
  ExpectRefused(with("[0,0]"), 0, "need exactly 24 bytes");
  ExpectRefused(with("[-24,0]"), 24, "tensor \"w\": data_offsets[0]=-24: must not be negative");
  ExpectRefused(with("[0,-1]"), 24, "data_offsets[1]=-1");
  ExpectRefused(with("[0.0,24]"), 24, "tensor \"w\": data_offsets holds \"0.0\"; use integers below 2^63");
  ExpectRefused(with("[0,2.4e1]"), 24, "data_offsets holds \"2.4e1\"");
  ExpectRefused(with("[0,18446744073709551640]"), 24, "data_offsets holds \"18446744073709551640\"");
  ExpectRefused(with("[9223372036854775808,9223372036854775832]"), 24, "holds \"9223372036854775808\"");
  ExpectRefused(with("[9223372036854775783,9223372036854775807]"), 24, "but the tensor before ends at 0");
  ExpectRefused(with("[0,\"24\"]"), 24, "data_offsets holds \"24\"");
  ExpectRefused(with("[0,null]"), 24, "data_offsets holds \"null\"");
  ExpectRefused(with("[0]"), 24, "data_offsets has 1 numbers; use [begin, end]");
  ExpectRefused(with("[]"), 24, "data_offsets has 0 numbers");
  ExpectRefused(with("[0,24,24]"), 24, "data_offsets has more than 2 numbers");
  ExpectRefused(with("[[0,24]]"), 24, "data_offsets holds a list");
  ExpectRefused(with("24"), 24, "data_offsets is \"24\"; it must be a list of integers");
  ExpectRefused(with("{}"), 24, "data_offsets is an object; it must be a list of integers");
}

TEST(SafetensorsTest, ShapesAreBounded) {
  const auto with = [](const std::string& shape) {
    return One(absl::StrCat("\"dtype\":\"F32\",\"shape\":", shape, ",\"data_offsets\":[0,4]"));
  };
  EXPECT_TRUE(Parse(with("[1,1,1,1,1,1,1,1]"), 4).ok());
  ExpectRefused(with("[1,1,1,1,1,1,1,1,1]"), 4, "tensor \"w\": shape has more than 8 dimensions");
  ExpectRefused(with("[1,0]"), 4, "tensor \"w\": shape[1]=0: must lie in [1, 16777216]");
  ExpectRefused(with("[-1]"), 4, "shape[0]=-1: must lie in");
  ExpectRefused(with("[16777217]"), 4, "shape[0]=16777217: must lie in");
  ExpectRefused(with("[9223372036854775807]"), 4, "shape[0]=9223372036854775807");
  ExpectRefused(with("[9223372036854775808]"), 4, "shape holds \"9223372036854775808\"");
  ExpectRefused(with("[1.0]"), 4, "shape holds \"1.0\"");
  ExpectRefused(with("[true]"), 4, "shape holds \"true\"");
  // 2^64 elements wrap to 0 bytes, 2^62 of 4 bytes too.
  ExpectRefused(with("[16777216,16777216,65536]"), 4, "its 3 dimensions is larger than any memory");
  ExpectRefused(with("[16777216,16777216,16384]"), 4, "its 3 dimensions is larger than any memory");
  ExpectRefused(with("[16777216,16777216,4096]"), 4, "need exactly 4611686018427387904 bytes");
}

TEST(SafetensorsTest, EachTensorAndEachMemberOnce) {
  ExpectRefused(absl::StrCat("{", Entry("w", 0, 4), ",", Entry("w", 4, 8), "}"), 8,
                "tensor \"w\" is given twice; each name once");
  ExpectRefused(absl::StrCat("{", Entry("w", 0, 4), ",", Entry("\\u0077", 4, 8), "}"), 8,
                "tensor \"w\" is given twice");
  ExpectRefused(One(R"("dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1])"), 1, "dtype is given twice");
  ExpectRefused(One(R"("dtype":"U8","shape":[1],"shape":[1],"data_offsets":[0,1])"), 1, "shape is given twice");
  ExpectRefused(One(R"("dtype":"U8","shape":[1],"data_offsets":[0,1],"data_offsets":[0,1])"), 1,
                "data_offsets is given twice");
  ExpectRefused(R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__ is given twice");
  ExpectRefused(One(R"("shape":[1],"data_offsets":[0,1])"), 1, "tensor \"w\": dtype is missing");
  ExpectRefused(One(R"("dtype":"U8","data_offsets":[0,1])"), 1, "tensor \"w\": shape is missing");
  ExpectRefused(One(R"("dtype":"U8","shape":[1])"), 1, "tensor \"w\": data_offsets is missing");
  ExpectRefused(One(""), 0, "dtype is missing");
  ExpectRefused(One(R"("color":"red")"), 0, "tensor \"w\": unknown key \"color\"");
}

TEST(SafetensorsTest, WrongKindsAreNamed) {
  ExpectRefused("[]", 0, "it begins with \"[\"");
  ExpectRefused("", 0, "it begins with \"\"");
  ExpectRefused(" {}", 0, "it begins with \" \"");
  ExpectRefused("\xef\xbb\xbf{}", 0, "it begins with");
  ExpectRefused("{\"w\":7}", 0, "tensor \"w\" is \"7\"; it must be an object with dtype");
  ExpectRefused("{\"w\":[]}", 0, "tensor \"w\" is a list; it must be an object with dtype");
  ExpectRefused(One("\"dtype\":7"), 0, "tensor \"w\": dtype is \"7\"; it must be a string");
  ExpectRefused(One("\"dtype\":[\"F32\"]"), 0, "tensor \"w\": dtype is a list; it must be a string");
  ExpectRefused(One("\"dtype\":{}"), 0, "tensor \"w\": dtype is an object; it must be a string");
  ExpectRefused(One("\"shape\":\"[1]\""), 0, "tensor \"w\": shape is \"[1]\"; it must be a list of integers");
  ExpectRefused("{\"__metadata__\":7}", 0, "__metadata__ is \"7\"; it must be an object");
  ExpectRefused("{\"__metadata__\":[]}", 0, "__metadata__ is a list; it must be an object");
  ExpectRefused("{} {}", 0, "not JSON at byte");
  ExpectRefused("{\"w\":{}", 0, "tensor \"w\": dtype is missing");
  ExpectRefused(std::string("{}\0", 3), 0, "not JSON at byte");
}

TEST(SafetensorsTest, MetadataAreIgnoredWithinBounds) {
  EXPECT_TRUE(Parse(R"({"__metadata__":{"dtype":"x","a":{"b":[1,{"c":null}]},"a":2.5}})", 0).ok());
  const auto header = Parse(absl::StrCat(R"({"__metadata__":{"dtype":"x"},)", Entry("w", 0, 4), R"(,"x/__metadata__":)",
                                         R"({"dtype":"U8","shape":[1],"data_offsets":[4,5]}})"),
                            5);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors.size(), 2u);
}

TEST(SafetensorsTest, HostileNestingIsRefused) {
  const std::string deep(1 << 20, '[');
  ExpectRefused("{\"__metadata__\":{\"a\":" + deep, 0, "nested deeper than 16 levels");
  ExpectRefused("{\"w\":{\"shape\":" + deep, 0, "shape holds a list; use integers");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  ExpectRefused("{\"__metadata__\":" + objects, 0, "nested deeper than 16 levels");
  ExpectRefused(objects, 0, "tensor \"a\": unknown key \"a\"");
}

TEST(SafetensorsTest, NamesObeyTheRule) {
  for (const std::string& name : {std::string("/w"), std::string("a/../b"), std::string(), std::string("a\\u0000b"),
                                  std::string("a\\nb"), std::string(513, 'n')}) {
    ExpectRefused(absl::StrCat("{", Entry(name, 0, 4), "}"), 4, "use 1 to 512 bytes without control characters");
  }
  EXPECT_TRUE(Parse(absl::StrCat("{", Entry("層/0/重み", 0, 4), "}"), 4).ok());
  ExpectRefused(absl::StrCat("{", Entry("\xff", 0, 4), "}"), 4, "not JSON at byte");
}

TEST(SafetensorsTest, TensorsAreCounted) {
  Limits limits;
  limits.max_tensors = 3;
  std::string json = "{\"__metadata__\":{}";
  for (int i = 0; i < 3; ++i) absl::StrAppend(&json, ",", Entry(absl::StrCat("t", i), i, i + 1));
  EXPECT_TRUE(Parse(json + "}", 3, limits).ok());
  ExpectRefused(absl::StrCat(json, ",", Entry("t3", 3, 4), "}"), 4, "more than 3 tensors", limits);
}

}  // namespace
}  // namespace bwrt::runtime
