#include "runtime/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ElementType Type(ElementType::Code code) { return *ElementType::FromWire(code); }

// A file of that version with that header's text.
std::string File(const std::string& text, int version = 1) {
  std::string file = absl::StrCat("\x93NUMPY", std::string(1, static_cast<char>(version)), std::string(1, '\0'));
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) file += static_cast<char>(text.size() >> (8 * i));
  return file + text;
}

// As NumPy writes it, padded to a multiple of 64 bytes.
std::string Written(const std::string& descr, const std::string& shape) {
  std::string text = absl::StrCat("{'descr': ", descr, ", 'fortran_order': False, 'shape': ", shape, ", }");
  while ((10 + text.size() + 1) % 64 != 0) text += ' ';
  return File(text + "\n");
}

absl::StatusOr<NpyHeader> Parse(const std::string& prefix, std::optional<ElementType> expected = std::nullopt) {
  return ParseNpyHeader(prefix, expected, Limits{});
}

void ExpectRefused(const std::string& prefix, const std::string& why,
                   std::optional<ElementType> expected = std::nullopt) {
  const auto header = Parse(prefix, expected);
  ASSERT_FALSE(header.ok()) << prefix;
  EXPECT_EQ(header.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetReason(header.status()), "NPY_HEADER");
  EXPECT_THAT(std::string(header.status().message()), HasSubstr(why)) << prefix;
  EXPECT_LT(header.status().message().size(), 1024u);
}

TEST(NpyTest, ReadsWhatNumPyWrites) {
  const std::string file = Written("'<f4'", "(2, 3)") + std::string(24, 'x');
  const auto header = Parse(file);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->type, (TensorType{kernels::DType::kF32, {2, 3}}));
  EXPECT_EQ(header->data_offset, 128);
  EXPECT_EQ(header->type.bytes(), Bytes(24));
}

TEST(NpyTest, AllVersions) {
  const std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }\n";
  for (const int version : {1, 2, 3}) {
    const auto header = Parse(File(text, version));
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->data_offset, static_cast<int64_t>(text.size()) + (version == 1 ? 10 : 12));
    EXPECT_THAT(header->type.shape, ElementsAre(5));
  }
  for (const int version : {0, 4, 255}) ExpectRefused(File(text, version), ".0 is not known");
}

TEST(NpyTest, EveryTypeThatHasAName) {
  const std::pair<const char*, ElementType::Code> types[] = {
      {"<f4", ElementType::kF32}, {"<f2", ElementType::kF16}, {"<f8", ElementType::kF64}, {"|i1", ElementType::kI8},
      {"|u1", ElementType::kU8},  {"<i2", ElementType::kI16}, {"<u2", ElementType::kU16}, {"<i4", ElementType::kI32},
      {"<u4", ElementType::kU32}, {"<i8", ElementType::kI64}, {"<u8", ElementType::kU64}, {"|b1", ElementType::kBool}};
  for (const auto& [descr, code] : types) {
    for (const char* quote : {"'", "\""}) {
      const auto header = Parse(Written(absl::StrCat(quote, descr, quote), "(4,)"), Type(ElementType::kBF16));
      ASSERT_TRUE(header.ok()) << header.status();
      EXPECT_EQ(header->type.dtype.code(), code) << descr;
    }
  }
}

TEST(NpyTest, TypesWithoutANameNeedToBeExpected) {
  const std::pair<const char*, ElementType::Code> types[] = {
      {"'<V2'", ElementType::kBF16},   {"'|V2'", ElementType::kBF16},   {"'<V1'", ElementType::kF8E4M3},
      {"'|V1'", ElementType::kF8E4M3}, {"'<V1'", ElementType::kF8E5M2}, {"'|V1'", ElementType::kF8E5M2},
      {"'<f1'", ElementType::kF8E5M2}, {"'|f1'", ElementType::kF8E5M2}};
  for (const auto& [descr, code] : types) {
    const auto header = Parse(Written(descr, "(4,)"), Type(code));
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->type.dtype.code(), code);
    ExpectRefused(Written(descr, "(4,)"), "does not say which type it is; say bf16");
    ExpectRefused(Written(descr, "(4,)"), "it can't be f16", Type(ElementType::kF16));
  }
  ExpectRefused(Written("'<V2'", "(4,)"), "it can't be f8_e4m3", Type(ElementType::kF8E4M3));
  ExpectRefused(Written("'<V1'", "(4,)"), "it can't be bf16", Type(ElementType::kBF16));
  ExpectRefused(Written("'<f1'", "(4,)"), "it can't be f8_e4m3", Type(ElementType::kF8E4M3));
  ExpectRefused(Written("'<V4'", "(4,)"), "is not known", Type(ElementType::kF32));
}

TEST(NpyTest, OtherTypesAreRefusedAndSayWhy) {
  ExpectRefused(Written("'>f4'", "(4,)"), "descr \">f4\" is big-endian");
  ExpectRefused(Written("'|O'", "(4,)"), "holds Python objects");
  ExpectRefused(Written("[('a', '<f4'), ('b', '<i8')]", "(4,)"), "structured types are not read");
  for (const char* descr : {"'<c8'", "'<U3'", "'|S3'", "'<M8[s]'", "'<f16'", "'f4'", "'=f4'", "''", "'<f4 '"}) {
    ExpectRefused(Written(descr, "(4,)"), "is not known");
  }
  ExpectRefused(Written("'<f\\x34'", "(4,)"), "a type in quotes must come");
  ExpectRefused(Written("float", "(4,)"), "a type in quotes must come");
  ExpectRefused(Written("u'<f4'", "(4,)"), "a type in quotes must come");
}

TEST(NpyTest, Shapes) {
  const std::pair<const char*, std::vector<int64_t>> shapes[] = {{"()", {1}},
                                                                 {"( )", {1}},
                                                                 {"(7,)", {7}},
                                                                 {"( 7 , )", {7}},
                                                                 {"(2,3)", {2, 3}},
                                                                 {"(2, 3,)", {2, 3}},
                                                                 {"(1, 2, 3, 4, 5, 6, 7, 8)", {1, 2, 3, 4, 5, 6, 7, 8}},
                                                                 {"(16777216,)", {16777216}}};
  for (const auto& [text, shape] : shapes) {
    const auto header = Parse(Written("'<f4'", text));
    ASSERT_TRUE(header.ok()) << header.status();
    EXPECT_EQ(header->type.shape, shape) << text;
  }
}

TEST(NpyTest, ShapesThatAreRefused) {
  const std::pair<const char*, const char*> shapes[] = {
      {"(0,)", "shape[0]=\"0\": must lie in [1, 16777216]"},
      {"(2, 0)", "shape[1]=\"0\""},
      {"(007,)", "shape[0]=\"007\""},
      {"(16777217,)", "shape[0]=\"16777217\": must lie in"},
      {"(99999999999999999999999999,)", "shape[0]=\"9999"},
      {"(-1,)", "a dimension, a positive integer, must come, not \"-1,)"},
      {"(1.5,)", ", or ) must come"},
      {"(1e3,)", ", or ) must come"},
      {"(3L,)", ", or ) must come"},
      {"(1, 2, 3, 4, 5, 6, 7, 8, 9)", "more than 8 dimensions"},
      {"(3)", "shape (3) is no tuple; write (3,)"},
      {"(,)", "a dimension, a positive integer, must come"},
      {"(1,,2)", "a dimension, a positive integer, must come"},
      {"((1,),)", "a dimension, a positive integer, must come"},
      {"[2, 3]", "a tuple of integers must come"},
      {"7", "a tuple of integers must come"},
      {"(2", "must come"},
      {"(16777216, 16777216, 8192)", "its 3 dimensions is larger than any memory"},
      {"(16777216, 16777216, 16777216, 16777216)", "larger than any memory"},
  };
  for (const auto& [shape, why] : shapes) ExpectRefused(Written("'<f4'", shape), why);
}

TEST(NpyTest, FortranOrderIsRefused) {
  ExpectRefused(File("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }"), "fortran_order is True; save");
  ExpectRefused(File("{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }"), "True or False must come");
  ExpectRefused(File("{'descr': '<f4', 'fortran_order': Falsey, 'shape': (2, 3), }"), ", or } must come");
}

TEST(NpyTest, KeysInAnyOrderEachOnce) {
  EXPECT_TRUE(Parse(File("{'shape': (2,), 'fortran_order': False, 'descr': '<f4'}")).ok());
  EXPECT_TRUE(Parse(File(" {\"shape\":(2,),\"fortran_order\":False,\"descr\":\"<f4\"} \n")).ok());
  ExpectRefused(File("{'shape': (2,), 'fortran_order': False}"), "descr is missing");
  ExpectRefused(File("{'shape': (2,), 'descr': '<f4'}"), "fortran_order is missing");
  ExpectRefused(File("{'fortran_order': False, 'descr': '<f4'}"), "shape is missing");
  ExpectRefused(File("{}"), "descr is missing");
  ExpectRefused(File("{'shape': (2,), 'shape': (3,)}"), "shape is given twice");
  ExpectRefused(File("{'color': 'red'}"), "unknown key \"color\"");
  ExpectRefused(File("{'descr' '<f4'}"), ": must come");
  ExpectRefused(File("{descr: '<f4'}"), "a key in quotes must come");
  ExpectRefused(File("{,}"), "a key in quotes must come");
}

TEST(NpyTest, NothingMayFollowAndNothingBeMissing) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
  EXPECT_TRUE(Parse(File(good)).ok());
  ExpectRefused(File(good + "}"), "nothing more must come");
  ExpectRefused(File(good + std::string(1, '\0')), "nothing more must come");
  ExpectRefused(File(""), "{ must come");
  ExpectRefused(File("__import__('os')"), "{ must come");
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(Parse(File(good.substr(0, size))).ok()) << size;
  }
}

TEST(NpyTest, TruncatedFilesAreRefused) {
  for (const int version : {1, 3}) {
    const std::string file = File("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", version);
    EXPECT_TRUE(Parse(file).ok());
    for (size_t size = 0; size < file.size(); ++size) ExpectRefused(file.substr(0, size), "npy header: ");
  }
  ExpectRefused("NUMPY", "begins with");
  ExpectRefused("", "begins with \"\"");
}

TEST(NpyTest, TheHeadersLengthIsBounded) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}";
  const auto padded = [&](size_t size) { return good + std::string(size - good.size(), ' '); };
  EXPECT_TRUE(Parse(File(padded(10'000))).ok());
  EXPECT_TRUE(Parse(File(padded(10'000), 2)).ok());
  ExpectRefused(File(padded(10'001)), "its length is 10001 bytes: at most 10000");
  ExpectRefused(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), "its length is 4294967295 bytes");
  ExpectRefused(File(std::string(9'000, '{')), "a key in quotes must come");
  ExpectRefused(File("{'shape': " + std::string(9'000, '(')), "a dimension, a positive integer, must come");
}

}  // namespace
}  // namespace bwrt::runtime
