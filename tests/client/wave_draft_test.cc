#include "client/wave_draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "client/dtype.h"
#include "client/verify_weights.h"
#include "client/wave_generator.h"
#include "client/wave_oracle.h"

namespace bwrt::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::StartsWith;

constexpr uint64_t kPlenty = uint64_t{1} << 30;

// C given, with gaps, and a bias.
WaveDraft Draft(float beta) {
  v1::SubmitWaveRequest request;
  request.set_m(5);
  request.set_n(4);
  request.set_k(8);
  request.mutable_a()->set_row_stride(9);
  request.mutable_a()->set_inline_("bytes of A");
  request.mutable_w()->set_inline_("bytes of W");
  request.mutable_c()->set_row_stride(6);
  request.mutable_c()->set_inline_("bytes of C");
  request.set_beta(beta);
  request.add_bias(3);
  return DraftOf(request);
}

TEST(WaveDraftTest, HasNoBytes) {
  const WaveDraft draft = Draft(1);
  EXPECT_TRUE(draft.bias);
  EXPECT_EQ(draft.request.bias_size(), 0);
  for (const v1::Operand* operand : {&draft.request.a(), &draft.request.w(), &draft.request.c()}) {
    EXPECT_EQ(operand->source_case(), v1::Operand::kInline);
    EXPECT_EQ(operand->inline_(), "");
  }
  EXPECT_EQ(draft.request.a().row_stride(), 9);
  EXPECT_EQ(draft.request.c().row_stride(), 6);
}

TEST(WaveDraftTest, KeepsWhoseWItIsAndWhetherThereIsAC) {
  v1::SubmitWaveRequest request;
  request.mutable_w()->set_tensor("proj");
  request.mutable_c()->set_row_stride(3);
  const WaveDraft draft = DraftOf(request);
  EXPECT_EQ(draft.request.w().tensor(), "proj");
  EXPECT_EQ(draft.request.c().source_case(), v1::Operand::SOURCE_NOT_SET);
  EXPECT_EQ(draft.request.c().row_stride(), 3);
  EXPECT_FALSE(draft.bias);
}

TEST(WaveDraftTest, AsAQuestionItKeepsStrides) {
  const v1::SubmitWaveRequest question = WithoutOperands(Draft(1));
  EXPECT_EQ(question.a().source_case(), v1::Operand::SOURCE_NOT_SET);
  EXPECT_EQ(question.c().source_case(), v1::Operand::SOURCE_NOT_SET);
  EXPECT_EQ(question.c().row_stride(), 6);
}

TEST(FillOperandsTest, IsAFunctionOfSeedAndWave) {
  const WaveDraft draft = Draft(1);
  const auto one = FillOperands(draft, BF16, {7, 3}, kPlenty), same = FillOperands(draft, BF16, {7, 3}, kPlenty);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ(one->SerializeAsString(), same->SerializeAsString());
  std::set<std::string> a, w, c;
  for (const OperandSeed seed : {OperandSeed{7, 3}, OperandSeed{7, 4}, OperandSeed{8, 3}}) {
    const auto filled = FillOperands(draft, BF16, seed, kPlenty);
    a.insert(filled->a().inline_());
    w.insert(filled->w().inline_());
    c.insert(filled->c().inline_());
  }
  EXPECT_EQ(a.size(), 3u);
  EXPECT_EQ(w.size(), 3u);
  EXPECT_EQ(c.size(), 3u);
}

TEST(FillOperandsTest, SizesAndGaps) {
  const auto filled = FillOperands(Draft(1), BF16, {1, 0}, kPlenty);
  ASSERT_TRUE(filled.ok()) << filled.status();
  const auto a = DecodeElements(BF16, filled->a().inline_());
  ASSERT_EQ(a->size(), 4u * 9 + 8);
  EXPECT_TRUE(std::isnan((*a)[8])) << "the gap behind the first row";
  EXPECT_FALSE(std::isnan((*a)[9]));
  EXPECT_EQ(filled->w().inline_().size(), 8u * 4 * 2);
  EXPECT_EQ(filled->c().inline_().size(), (4u * 6 + 4) * 4);
  EXPECT_EQ(filled->bias_size(), 4);
}

TEST(FillOperandsTest, PoisonsACThatIsNotRead) {
  const auto unread = FillOperands(Draft(0), F32, {1, 0}, kPlenty);
  const auto c = DecodeElements(F32, unread->c().inline_());
  for (int row = 0; row < 5; ++row) {
    for (int column = 0; column < 4; ++column) EXPECT_TRUE(std::isnan((*c)[static_cast<size_t>(row * 6 + column)]));
  }
  const auto read = FillOperands(Draft(1), F32, {1, 0}, kPlenty);
  EXPECT_FALSE(std::isnan(DecodeElements(F32, read->c().inline_())->front()));
}

TEST(FillOperandsTest, AllocatesNoMoreThanAllowed) {
  WaveDraft draft = Draft(1);
  // A 5 x 9 less the last gap, W, C and the bias.
  const uint64_t bytes = 44 * 4 + 32 * 4 + 28 * 4 + 4 * 4;
  EXPECT_TRUE(FillOperands(draft, F32, {}, bytes).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(FillOperands(draft, F32, {}, bytes - 1).status()));
  draft.request.set_m(int64_t{1} << 62);
  draft.request.mutable_a()->set_row_stride(std::numeric_limits<int64_t>::max());
  const auto huge = FillOperands(draft, F32, {}, kPlenty);
  EXPECT_TRUE(absl::IsResourceExhausted(huge.status()));
  EXPECT_THAT(std::string(huge.status().message()), HasSubstr("m=4611686018427387904"));
}

TEST(FillOperandsTest, FilledDraftsOfRandomWavesAreWavesTheOracleUnderstands) {
  WaveSpace space = SpaceOf({});
  space.models.push_back(RandomModel(5, "model"));
  const WaveGenerator generator(5, space);
  int stored = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    const GeneratedWave wave = generator.Generate(i);
    stored += wave.stored_w != nullptr ? 1 : 0;
    EXPECT_EQ(StoredW(space.models[0], wave.request) != nullptr, wave.stored_w != nullptr);
    const WaveDraft draft = DraftOf(wave.request);
    const auto filled = FillOperands(draft, InputDTypeOf(draft.request, wave.stored_w), {5, i}, kPlenty);
    ASSERT_TRUE(filled.ok()) << filled.status();
    const auto oracle = WaveOracle::Create(*filled, wave.stored_w);
    ASSERT_TRUE(oracle.ok()) << i << ": " << oracle.status();
    for (const double want : oracle->want()) ASSERT_TRUE(std::isfinite(want)) << i << ": a gap or a poisoned C shows";
  }
  EXPECT_GT(stored, 10);
}

TEST(OperandDigestsTest, NameWhatTheWaveHas) {
  const auto with_all = FillOperands(Draft(1), F32, {1, 0}, kPlenty);
  EXPECT_THAT(OperandDigests(*with_all, nullptr),
              ElementsAre(Pair("a", StartsWith("xxh3:")), Pair("bias", StartsWith("xxh3:")),
                          Pair("c", StartsWith("xxh3:")), Pair("w", StartsWith("xxh3:"))));
  v1::Tensor tensor;
  tensor.set_data("bytes");
  v1::SubmitWaveRequest stored = *with_all;
  stored.clear_bias();
  stored.clear_c();
  stored.mutable_w()->set_tensor("proj");
  const auto digests = OperandDigests(stored, &tensor);
  EXPECT_EQ(digests.size(), 2u);
  EXPECT_EQ(digests.at("a"), OperandDigests(*with_all, nullptr).at("a"));
  EXPECT_NE(digests.at("w"), OperandDigests(*with_all, nullptr).at("w"));
}

TEST(MakeWeightsTest, TheTensorThatAWaveNames) {
  v1::SubmitWaveRequest wave;
  wave.set_n(3);
  wave.set_k(16);
  wave.set_w_transposed(true);
  wave.mutable_spec()->set_dtype(F16);
  wave.mutable_w()->set_tensor("proj");
  const WeightsRecipe recipe = {.kind = WeightsRecipe::Kind::kWaveTensor, .seed = 4};
  const auto model = MakeWeights(recipe, "verify/0", wave, kPlenty);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->name, "verify/0");
  const v1::Tensor* w = StoredW(*model, wave);
  ASSERT_NE(w, nullptr);
  EXPECT_THAT(w->shape(), ElementsAre(3, 16));
  EXPECT_EQ(w->data().size(), 3u * 16 * 2);
  EXPECT_EQ(MakeWeights(recipe, "", wave, kPlenty)->tensors[0].data(), w->data());
  EXPECT_NE(MakeWeights({.kind = recipe.kind, .seed = 5}, "", wave, kPlenty)->tensors[0].data(), w->data());
}

TEST(MakeWeightsTest, AModelIsNeverEmpty) {
  const auto model = MakeWeights({.kind = WeightsRecipe::Kind::kWaveTensor}, "m", {}, kPlenty);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->tensors.size(), 1u);
  EXPECT_EQ(StoredW(*model, {}), nullptr);
}

TEST(MakeWeightsTest, HostileSizesAreRefused) {
  const WeightsRecipe recipe = {.kind = WeightsRecipe::Kind::kWaveTensor};
  v1::SubmitWaveRequest wave;
  wave.mutable_w()->set_tensor("proj");
  EXPECT_TRUE(absl::IsInvalidArgument(MakeWeights(recipe, "m", wave, kPlenty).status()));
  wave.set_n(std::numeric_limits<int64_t>::max());
  wave.set_k(std::numeric_limits<int64_t>::max());
  EXPECT_TRUE(absl::IsResourceExhausted(MakeWeights(recipe, "m", wave, kPlenty).status()));
  wave.set_n(1 << 20);
  wave.set_k(1 << 20);
  EXPECT_TRUE(absl::IsResourceExhausted(MakeWeights(recipe, "m", wave, kPlenty).status()));
  wave.mutable_spec()->set_dtype(I8);
  EXPECT_TRUE(absl::IsInvalidArgument(MakeWeights(recipe, "m", wave, kPlenty).status()));
}

}  // namespace
}  // namespace bwrt::client
