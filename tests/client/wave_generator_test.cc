#include "client/wave_generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "client/bad_wave_generator.h"
#include "client/draws.h"
#include "client/dtype.h"
#include "client/status.h"
#include "client/wave_features.h"
#include "client/wave_oracle.h"

namespace bwrt::client {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr uint64_t kSeed = 7;

WaveSpace Space(bool lenient) {
  WaveSpace space = SpaceOf({});
  space.lenient = lenient;
  space.whitelist_digest = "sha256:planned";
  space.client_id = "client";
  space.models.push_back(RandomModel(kSeed, "default"));
  space.models.back().version = 3;
  return space;
}

// Of a device that computes with f8 too.
WaveSpace F8Space(bool lenient) {
  WaveSpace space = Space(lenient);
  space.dtypes.insert(space.dtypes.end(), {F8_E4M3, F8_E5M2});
  return space;
}

// FNV-1a.
uint64_t Hash(const std::string& bytes, uint64_t hash) {
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return hash;
}

uint64_t HashOfFirst(uint64_t count, bool lenient) {
  const WaveGenerator generator(kSeed, Space(lenient));
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t i = 0; i < count; ++i) hash = Hash(generator.Generate(i).request.SerializeAsString(), hash);
  return hash;
}

TEST(DrawsTest, StayInTheirRange) {
  Draws draws(1, 2);
  std::set<int64_t> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.insert(draws.Between(-2, 2));
    const float unit = draws.Unit();
    EXPECT_GE(unit, -1);
    EXPECT_LT(unit, 1);
  }
  EXPECT_THAT(seen, testing::ElementsAre(-2, -1, 0, 1, 2));
}

TEST(WaveGeneratorTest, IsAFunctionOfSeedAndIndex) {
  const WaveGenerator one(kSeed, Space(true)), same(kSeed, Space(true)), other(kSeed + 1, Space(true));
  for (uint64_t i = 0; i < 50; ++i) {
    const std::string bytes = one.Generate(i).request.SerializeAsString();
    EXPECT_EQ(bytes, same.Generate(i).request.SerializeAsString());
    EXPECT_NE(bytes, other.Generate(i).request.SerializeAsString());
    EXPECT_NE(bytes, one.Generate(i + 1).request.SerializeAsString());
  }
  EXPECT_EQ(one.Reproduce(12), "BWRT_SEED=7, lenient wave 12");
}

// A seed in a bug report must mean the same waves on every machine. These numbers change only with the generator.
TEST(WaveGeneratorTest, GoldenHashes) {
  EXPECT_EQ(HashOfFirst(100, /*lenient=*/false), 9081545022975975684u);
  EXPECT_EQ(HashOfFirst(100, /*lenient=*/true), 1415593073798184716u);
}

TEST(WaveGeneratorTest, F8WhereTheDeviceHasItWithScalesAndAWiderC) {
  v1::GetCapabilitiesResponse caps;
  EXPECT_FALSE(IsComputed(SpaceOf(caps), F8_E4M3));
  caps.add_devices()->add_dtypes(F8_E4M3);
  EXPECT_TRUE(IsComputed(SpaceOf(caps), F8_E4M3));
  EXPECT_FALSE(IsComputed(SpaceOf(caps), F8_E5M2));
  int f8 = 0, stored = 0, scaled = 0, narrow = 0;
  const WaveGenerator with(kSeed, F8Space(false)), without(kSeed, Space(false));
  for (uint64_t i = 0; i < 500; ++i) {
    const v1::SubmitWaveRequest plain = without.Generate(i).request;
    EXPECT_FALSE(IsF8(plain.spec().dtype()) || plain.has_a_scale() || plain.has_w_scale());
    const GeneratedWave wave = with.Generate(i);
    const v1::SubmitWaveRequest& request = wave.request;
    EXPECT_FALSE(IsF8(request.c_dtype()));
    const bool is_f8 = IsF8(wave.stored_w != nullptr ? wave.stored_w->dtype() : request.spec().dtype());
    if (!is_f8) {
      EXPECT_FALSE(request.has_a_scale() || request.has_w_scale());
      continue;
    }
    ++f8;
    EXPECT_EQ(request.k() % 32, 0);
    stored += wave.stored_w != nullptr ? 1 : 0;
    scaled += request.has_a_scale() && request.has_w_scale() ? 1 : 0;
    narrow += request.c_dtype() == F16 || request.c_dtype() == BF16 ? 1 : 0;
  }
  EXPECT_GT(f8, 100);
  EXPECT_GT(stored, 5);
  EXPECT_GT(scaled, 50);
  EXPECT_GT(narrow, 50);
}

TEST(WaveGeneratorTest, EveryWaveIsOneTheOracleUnderstands) {
  for (const bool lenient : {false, true}) {
    const WaveGenerator generator(kSeed, F8Space(lenient));
    bool any_unlisted = false;
    for (uint64_t i = 0; i < 1000; ++i) {
      const GeneratedWave wave = generator.Generate(i);
      const auto oracle = WaveOracle::Create(wave.request, wave.stored_w);
      ASSERT_TRUE(oracle.ok()) << generator.Reproduce(i) << ": " << oracle.status();
      any_unlisted = any_unlisted || NeedsLeniency(generator.space(), wave.request, oracle->dtype());
      for (size_t at = 0; at < oracle->want().size(); ++at) {
        ASSERT_TRUE(std::isfinite(oracle->want()[at])) << generator.Reproduce(i) << ": a gap shows";
      }
    }
    EXPECT_EQ(any_unlisted, lenient);
  }
}

TEST(WaveGeneratorTest, GapsHoldWhatMustNotShow) {
  const WaveGenerator generator(kSeed, Space(false));
  int gaps = 0, hidden_c = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    const v1::SubmitWaveRequest request = generator.Generate(i).request;
    const DType dtype = request.spec().dtype() == DTYPE_UNSPECIFIED ? F32 : request.spec().dtype();
    const auto features = FeaturesOf(request);
    if (features.at("a") == "gaps" && request.m() > 1 && features.at("dtype") != "unspecified") {
      ++gaps;
      EXPECT_TRUE(std::isnan(DecodeElements(dtype, request.a().inline_())->at(static_cast<size_t>(request.k()))));
    }
    if (request.c().source_case() != v1::Operand::kInline || request.beta() != 0) continue;
    const DType c_dtype = request.c_dtype() == DTYPE_UNSPECIFIED ? F32 : request.c_dtype();
    hidden_c += std::isnan(DecodeElements(c_dtype, request.c().inline_())->front()) ? 1 : 0;
  }
  EXPECT_GT(gaps, 10);
  EXPECT_GT(hidden_c, 10);
}

// Whether a value of one choice rules a value of another out.
bool Excludes(const std::pair<std::string, std::string>& one, const std::pair<std::string, std::string>& other) {
  const auto is = [&](const char* name, const char* value) { return one.first == name && one.second == value; };
  const auto& [name, value] = other;
  if (is("traversal", "none") || is("traversal", "swizzle") || is("coverage", "EXACT")) {
    return name == "missing" && value != "none";
  }
  if (is("c", "absent packed") || is("c", "absent tight") || is("c", "absent gaps")) {
    return name == "beta" && (value == "1" || value == "other");
  }
  // Where dtype is unspecified, it may be any stored W's.
  if (is("c_dtype", "bf16")) return name == "dtype" && (value == "f16" || value == "f32");
  if (is("c_dtype", "f16")) return name == "dtype" && (value == "bf16" || value == "f32");
  if (is("grid", "1x1")) return name == "missing" && value != "none";
  return false;
}

TEST(WaveGeneratorTest, EveryPairOfChoicesOccurs) {
  // Those that interact in the daemon; the others need only occur.
  const std::set<std::string> interacting = {"traversal", "missing", "coverage", "tails",     "edges",        "grid",
                                             "packing",   "dtype",   "c_dtype",  "w",         "w_transposed", "c",
                                             "alpha",     "beta",    "bias",     "activation"};
  for (const bool lenient : {false, true}) {
    const WaveGenerator generator(kSeed, Space(lenient));
    std::map<std::string, std::set<std::string>> values;
    std::set<std::pair<std::pair<std::string, std::string>, std::pair<std::string, std::string>>> pairs;
    for (uint64_t i = 0; i < 5000; ++i) {
      const auto features = FeaturesOf(generator.Generate(i).request);
      for (const auto& one : features) {
        values[one.first].insert(one.second);
        if (interacting.count(one.first) == 0) continue;
        for (const auto& other : features) pairs.insert({one, other});
      }
    }
    EXPECT_EQ(values["traversal"].size(), 5u);
    EXPECT_EQ(values["packing"].size(), 7u);
    EXPECT_EQ(values["stage_hint"].size(), 9u);
    EXPECT_EQ(values["extents"].size(), 4u);
    EXPECT_EQ(values["window"].size(), 5u);
    EXPECT_EQ(values["c"].size(), 6u);
    EXPECT_EQ(values["k"].size(), 2u);
    for (const auto& name : interacting) {
      for (const auto& other_name : interacting) {
        if (name >= other_name) continue;
        for (const auto& value : values[name]) {
          for (const auto& other_value : values[other_name]) {
            const std::pair<std::string, std::string> one(name, value), other(other_name, other_value);
            if (Excludes(one, other) || Excludes(other, one)) continue;
            EXPECT_EQ(pairs.count({one, other}), 1u) << (lenient ? "lenient: " : "strict: ") << name << "=" << value
                                                     << " with " << other_name << "=" << other_value;
          }
        }
      }
    }
  }
}

TEST(WaveFeaturesTest, OneLineDescribesAWave) {
  const WaveGenerator generator(kSeed, Space(false));
  const std::string line = DescribeWave(generator.Generate(3).request);
  EXPECT_THAT(line, HasSubstr("tails="));
  EXPECT_THAT(line, testing::Not(HasSubstr("\n")));
}

TEST(BadWaveGeneratorTest, IsAFunctionOfSeedAndIndex) {
  const WaveGenerator waves(kSeed, Space(false));
  const BadWaveGenerator one(&waves), same(&waves);
  for (uint64_t i = 0; i < 100; ++i) {
    const BadWave a = one.Generate(i), b = same.Generate(i);
    EXPECT_EQ(a.request.SerializeAsString(), b.request.SerializeAsString());
    EXPECT_EQ(a.flaw, b.flaw);
    EXPECT_EQ(a.violations, b.violations);
  }
  EXPECT_EQ(one.Reproduce(5), "BWRT_SEED=7, strict bad wave 5");
}

TEST(BadWaveGeneratorTest, EveryFlawOccursAloneAndSomeTogether) {
  std::map<std::string, int> alone;
  int several = 0;
  for (const bool lenient : {false, true}) {
    const WaveGenerator waves(kSeed, F8Space(lenient));
    const BadWaveGenerator bad(&waves);
    for (uint64_t i = 0; i < 500; ++i) {
      const BadWave wave = bad.Generate(i);
      ++alone[wave.flaw];
      several += wave.flaw.find(" and ") != std::string::npos ? 1 : 0;
      ASSERT_FALSE(wave.flaw.empty());
      EXPECT_EQ(wave.violations.empty(), wave.code != absl::StatusCode::kInvalidArgument) << wave.flaw;
      EXPECT_EQ(wave.reason.empty(), !wave.violations.empty()) << wave.flaw;
    }
  }
  for (const std::string& flaw : BadWaveGenerator::Flaws()) EXPECT_THAT(alone, Contains(Pair(flaw, testing::Gt(0))));
  EXPECT_GT(several, 50);
}

TEST(BadWaveGeneratorTest, WorksWithoutModels) {
  const WaveGenerator waves(kSeed, {});
  const BadWaveGenerator bad(&waves);
  for (uint64_t i = 0; i < 200; ++i) EXPECT_FALSE(bad.Generate(i).flaw.empty());
}

TEST(MisjudgedTest, WantsExactlyTheCodeReasonAndFields) {
  BadWave wave;
  wave.violations = {{"m", "DIM_OUT_OF_RANGE"}, {"bias", "BIAS_SIZE"}};
  const auto answer = [](std::vector<FieldViolation> violations) {
    return InvalidFields("bad", std::move(violations));
  };
  EXPECT_THAT(Misjudged(wave, absl::OkStatus()), HasSubstr("want INVALID_ARGUMENT"));
  EXPECT_THAT(Misjudged(wave, answer({{"m", "DIM_OUT_OF_RANGE", "why"}})), HasSubstr("got [m DIM_OUT_OF_RANGE]"));
  EXPECT_THAT(Misjudged(wave, answer({{"bias", "BIAS_SIZE", "why"}, {"m", "OTHER", "why"}})), HasSubstr("m OTHER"));
  EXPECT_THAT(Misjudged(wave, answer({{"bias", "BIAS_SIZE", "why"}, {"m", "DIM_OUT_OF_RANGE", ""}})),
              HasSubstr("m has no description"));
  // InvalidFields gives a reason of the client's own.
  EXPECT_THAT(Misjudged(wave, answer({{"bias", "BIAS_SIZE", "why"}, {"m", "DIM_OUT_OF_RANGE", "why"}})),
              HasSubstr("want reason"));
  wave = {.code = absl::StatusCode::kNotFound, .reason = "MODEL_NOT_FOUND"};
  EXPECT_THAT(Misjudged(wave, absl::NotFoundError("")), HasSubstr("want reason MODEL_NOT_FOUND"));
}

}  // namespace
}  // namespace bwrt::client
