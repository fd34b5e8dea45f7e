#include "client/verify_bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/dtype.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

VerifyCase Case() {
  VerifyCase of = {.seed = std::numeric_limits<uint64_t>::max(),
                   .wave = 17,
                   .device = "cuda:1",
                   .ref_device = "cpu",
                   .lenient = true,
                   .region = MatrixRect{.row_begin = 1, .row_end = 5, .column_begin = 2, .column_end = 9},
                   .weights = {.kind = WeightsRecipe::Kind::kRandomModel, .seed = 1234567890123456789u},
                   .operand_digests = {{"a", "xxh3:00"}, {"w", "xxh3:01"}}};
  v1::SubmitWaveRequest wave;
  wave.set_model("verify/0");
  wave.set_m(7);
  wave.set_n(int64_t{1} << 40);
  wave.set_k(8);
  wave.mutable_spec()->set_bm(128);
  wave.mutable_spec()->add_tile_order()->set_m(3);
  wave.mutable_spec()->add_tile_order_flat(0xffffffff);
  wave.mutable_a()->set_row_stride(9);
  wave.mutable_w()->set_tensor("layers/0/f32.square");
  wave.mutable_c()->set_inline_("");
  wave.set_alpha(0.1f);
  wave.set_beta(-1);
  wave.add_bias(1);
  wave.set_c_dtype(BF16);
  of.draft = DraftOf(wave);
  return of;
}

Json Parsed(const std::string& text) { return Json::parse(text, nullptr, /*allow_exceptions=*/false); }

TEST(VerifyBundleTest, ACaseSurvives) {
  const VerifyCase of = Case();
  const auto decoded = DecodeBundle(EncodeBundle(of, {}));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->seed, of.seed);
  EXPECT_EQ(decoded->wave, of.wave);
  EXPECT_EQ(decoded->device, of.device);
  EXPECT_EQ(decoded->ref_device, of.ref_device);
  EXPECT_EQ(decoded->lenient, of.lenient);
  EXPECT_EQ(decoded->region, of.region);
  EXPECT_EQ(decoded->weights, of.weights);
  EXPECT_EQ(decoded->operand_digests, of.operand_digests);
  EXPECT_EQ(decoded->draft.bias, true);
  EXPECT_EQ(decoded->draft.request.SerializeAsString(), of.draft.request.SerializeAsString());
}

TEST(VerifyBundleTest, AFindingIsForPeople) {
  VerifyCase of = Case();
  of.draft.request.set_c_dtype(F32);
  VerifyFinding finding;
  finding.mismatch = "tile (0,1) is off by inf";
  finding.first = ElementIndex{2, 3};
  finding.rel_error = std::numeric_limits<double>::infinity();
  finding.tolerance = 1e-5;
  finding.reference_digest = "xxh3:aa";
  finding.device_digest = "xxh3:bb";
  Surroundings around;
  around.elements = {.row_begin = 2, .row_end = 3, .column_begin = 2, .column_end = 4};
  for (const float value : {1.f, 2.f}) AppendElement(F32, value, &around.reference);
  for (const float value : {1.f, std::numeric_limits<float>::quiet_NaN()}) AppendElement(F32, value, &around.device);
  finding.around = around;
  finding.result.set_version(3);
  finding.device_capabilities.emplace();
  finding.device_capabilities->add_devices()->set_description("driver 1.2.3");
  finding.flags = {{"--waves", "1024"}};
  const Json json = Parsed(EncodeBundle(of, finding));
  ASSERT_TRUE(json.is_object());
  const Json& told = json["finding"];
  EXPECT_EQ(told["worst_rel_error"], "inf");
  EXPECT_EQ(told["first_difference"]["row"], 2);
  EXPECT_EQ(told["first_difference"]["column"], 3);
  EXPECT_EQ(told["first_difference"]["reference"], 2.0);
  EXPECT_EQ(told["first_difference"]["device"], "nan");
  EXPECT_EQ(told["around"]["elements"], "2:3,2:4");
  std::string bytes;
  ASSERT_TRUE(absl::Base64Unescape(told["around"]["device_base64"].get<std::string>(), &bytes));
  EXPECT_EQ(bytes, around.device);
  EXPECT_EQ(told["digests"]["device"], "xxh3:bb");
  EXPECT_EQ(told["result"]["version"], "3");
  EXPECT_EQ(told["device_capabilities"]["devices"][0]["description"], "driver 1.2.3");
  EXPECT_EQ(told["flags"]["--waves"], "1024");
}

TEST(VerifyBundleTest, NothingReadsAFinding) {
  Json json = Parsed(EncodeBundle(Case(), {}));
  json["finding"] = {{"anything", {1, 2, 3}}};
  EXPECT_TRUE(DecodeBundle(json.dump()).ok());
  json.erase("finding");
  EXPECT_TRUE(DecodeBundle(json.dump()).ok());
}

// What `spoil` makes of a good bundle.
absl::Status Spoilt(const std::function<void(Json&)>& spoil) {
  Json json = Parsed(EncodeBundle(Case(), {}));
  spoil(json);
  return DecodeBundle(json.dump()).status();
}

TEST(VerifyBundleTest, WhatIsWrongIsNamed) {
  struct Spoiler {
    const char* says;
    std::function<void(Json&)> spoil;
  };
  const std::vector<Spoiler> spoilers = {
      {"format: is missing", [](Json& json) { json.erase("format"); }},
      {"format: must be 1", [](Json& json) { json["format"] = 2; }},
      {"format: must be an integer", [](Json& json) { json["format"] = 1.5; }},
      {"case: is missing", [](Json& json) { json.erase("case"); }},
      {"case: must be an object", [](Json& json) { json["case"] = 3; }},
      {"extra: no such field", [](Json& json) { json["extra"] = 3; }},
      {"case.seeed: no such field", [](Json& json) { json["case"]["seeed"] = 3; }},
      {"case.seed: is missing", [](Json& json) { json["case"].erase("seed"); }},
      {"case.seed: must be an integer from 0", [](Json& json) { json["case"]["seed"] = -1; }},
      {"case.seed: must be an integer from 0", [](Json& json) { json["case"]["seed"] = 1e300; }},
      {"case.seed: must be an integer from 0", [](Json& json) { json["case"]["seed"] = "18446744073709551616"; }},
      {"case.wave_index: must be", [](Json& json) { json["case"]["wave_index"] = Json::array(); }},
      {"case.device: rm -rf: must be reference, auto", [](Json& json) { json["case"]["device"] = "rm -rf"; }},
      {"case.device: must be a string of at most", [](Json& json) { json["case"]["device"] = std::string(1000, 'x'); }},
      {"case.ref_device: cuda:-1: must be", [](Json& json) { json["case"]["ref_device"] = "cuda:-1"; }},
      {"case.lenient: must be true or false", [](Json& json) { json["case"]["lenient"] = "yes"; }},
      {"case.region: 5:1,0:1: holds no", [](Json& json) { json["case"]["region"] = "5:1,0:1"; }},
      {"case.weights: must be an object", [](Json& json) { json["case"]["weights"] = nullptr; }},
      {"case.weights.kind: must be random-model", [](Json& json) { json["case"]["weights"]["kind"] = "file"; }},
      {"case.weights.path: no such field", [](Json& json) { json["case"]["weights"]["path"] = "/etc"; }},
      {"case.operand_digests.x: no such", [](Json& json) { json["case"]["operand_digests"]["x"] = "y"; }},
      {"case.operand_digests.a: must be a string", [](Json& json) { json["case"]["operand_digests"]["a"] = 1; }},
      {"case.bias: must be", [](Json& json) { json["case"]["bias"] = 0; }},
      {"case.wave: no bwrt.v1.SubmitWaveRequest", [](Json& json) { json["case"]["wave"] = 3; }},
      {"case.wave: no bwrt.v1.SubmitWaveRequest", [](Json& json) { json["case"]["wave"]["unknown"] = 3; }},
      {"case.wave: no bwrt.v1.SubmitWaveRequest", [](Json& json) { json["case"]["wave"]["m"] = 1e40; }},
      {"case.wave: no bwrt.v1.SubmitWaveRequest",
       [](Json& json) { json["case"]["wave"]["spec"]["bm"] = 4'294'967'296; }},
  };
  for (const Spoiler& spoiler : spoilers) {
    const absl::Status status = Spoilt(spoiler.spoil);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << spoiler.says;
    EXPECT_THAT(std::string(status.message()), HasSubstr(spoiler.says));
  }
}

TEST(VerifyBundleTest, OtherTextIsRefused) {
  const std::string good = EncodeBundle(Case(), {});
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), std::string("{"),
        good.substr(0, good.size() / 2), good + "x", good + std::string(1, '\0'), std::string(100'000, '[')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(DecodeBundle(text).status())) << text.substr(0, 40);
  }
}

TEST(VerifyBundleTest, BytesInTheWaveDoNotCount) {
  Json json = Parsed(EncodeBundle(Case(), {}));
  json["case"]["wave"]["a"]["inline"] = "AAAA";
  json["case"]["wave"]["bias"] = {1, 2};
  const auto decoded = DecodeBundle(json.dump());
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->draft.request.a().inline_(), "");
  EXPECT_EQ(decoded->draft.request.bias_size(), 0);
}

TEST(VerifyBundleTest, IsWrittenAndRead) {
  const std::string directory = absl::StrCat(testing::TempDir(), "verify_bundle/a/b");
  ASSERT_TRUE(WriteBundle(directory, Case(), {}).ok());
  ASSERT_TRUE(WriteBundle(directory, Case(), {}).ok()) << "over an earlier one";
  const auto read = ReadBundle(directory);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->seed, Case().seed);
  EXPECT_TRUE(absl::IsNotFound(ReadBundle(directory + "/none").status()));
  const std::string file = absl::StrCat(testing::TempDir(), "no_directory");
  ASSERT_TRUE(WriteFile(file, "{}").ok());
  EXPECT_FALSE(WriteBundle(file, Case(), {}).ok());
  EXPECT_FALSE(ReadBundle(file).ok());
  ASSERT_TRUE(WriteFile(directory + "/bundle.json", "{}").ok());
  EXPECT_THAT(std::string(ReadBundle(directory).status().message()), HasSubstr("bundle.json: format: is missing"));
}

TEST(SurroundingsTest, HoldTheDifferenceAndNoMoreThanAllowed) {
  v1::SubmitWaveRequest wave;
  for (const DType dtype : {F32, BF16}) {
    for (const int64_t size : {1, 5, 40, 700}) {
      wave.set_c_dtype(dtype);
      wave.set_m(size);
      wave.set_n(size);
      wave.mutable_c()->set_row_stride(size + 3);
      const auto bytes = static_cast<size_t>(((size - 1) * (size + 3) + size) * DTypeBytes(dtype));
      const std::string reference(bytes, 'r'), device(bytes, 'd');
      const MatrixRect whole = {.row_begin = 0, .row_end = size, .column_begin = 0, .column_end = size};
      for (const ElementIndex at : {ElementIndex{0, 0}, ElementIndex{size / 2, size / 3}, ElementIndex{size - 1, 0},
                                    ElementIndex{0, size - 1}, ElementIndex{size - 1, size - 1}}) {
        const Surroundings around = SurroundingsOf(wave, at, whole, reference, device);
        EXPECT_TRUE(around.elements.HasRow(at.row));
        EXPECT_LE(around.elements.column_begin, at.column);
        EXPECT_GT(around.elements.column_end, at.column);
        EXPECT_EQ(Intersect(around.elements, whole), around.elements);
        EXPECT_EQ(around.elements.rows(), std::min<int64_t>(size, 8));
        EXPECT_LE(around.device.size(), 512u);
        EXPECT_EQ(static_cast<int64_t>(around.device.size()),
                  around.elements.rows() * around.elements.columns() * DTypeBytes(dtype));
        EXPECT_EQ(around.reference.size(), around.device.size());
      }
    }
  }
}

TEST(SurroundingsTest, StayWithinWhatIsCompared) {
  v1::SubmitWaveRequest wave;
  wave.set_m(100);
  wave.set_n(100);
  const std::string c(100 * 100 * 4, 'x');
  const MatrixRect part = {.row_begin = 50, .row_end = 52, .column_begin = 97, .column_end = 99};
  EXPECT_EQ(SurroundingsOf(wave, {51, 98}, part, c, c).elements, part);
}

TEST(SurroundingsTest, OfAGapAreItsRow) {
  v1::SubmitWaveRequest wave;
  wave.set_m(3);
  wave.set_n(4);
  wave.mutable_c()->set_row_stride(10);
  std::string c;
  for (int i = 0; i < 24; ++i) AppendElement(F32, static_cast<float>(i), &c);
  const MatrixRect whole = {.row_begin = 0, .row_end = 3, .column_begin = 0, .column_end = 4};
  const Surroundings around = SurroundingsOf(wave, {1, 7}, whole, c, c);
  EXPECT_EQ(FormatMatrixRect(around.elements), "1:2,0:10");
  EXPECT_EQ(ValuesAt(around, F32, {1, 7}).device, 17);
}

}  // namespace
}  // namespace bwrt::client
