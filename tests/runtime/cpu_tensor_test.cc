#include "runtime/cpu_tensor.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/error.h"

namespace bwrt::runtime {
namespace {

using Kind = WeightBudget::Kind;

constexpr int64_t kRows = 16;
constexpr int64_t kCols = 8;
constexpr int64_t kContent = kRows * kCols * 4;
const int64_t kAsStored = kernels::PackedWeights::PackedBytes(kRows, kCols, kernels::DType::kF32);
const int64_t kTransposed = kernels::PackedWeights::PackedBytes(kCols, kRows, kernels::DType::kF32);

// Element (i, j) is 100 i + j.
HostTensor Matrix() {
  std::vector<float> values;
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < kCols; ++j) values.push_back(static_cast<float>(100 * i + j));
  }
  return {"w",
          {kernels::DType::kF32, {kRows, kCols}},
          WeightBuffer(std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)))};
}

std::shared_ptr<const CpuTensor> Created(WeightBudget& budget, const CpuTensor* predecessor = nullptr) {
  auto tensor = CpuTensor::Create(Matrix(), budget);
  EXPECT_TRUE(tensor.ok()) << tensor.status();
  if (!tensor.ok()) return nullptr;
  EXPECT_TRUE((*tensor)->Prepare(predecessor).ok());
  return *tensor;
}

TEST(CpuTensorTest, PacksAMatrixAsStored) {
  WeightBudget budget(Bytes(1 << 20));
  const auto tensor = Created(budget);
  EXPECT_EQ(tensor->type(), (TensorType{kernels::DType::kF32, {kRows, kCols}}));
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(kContent));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored));

  const auto panels = tensor->GetPanels(false);
  ASSERT_TRUE(panels.ok());
  EXPECT_EQ((*panels)->k(), kRows);
  EXPECT_EQ((*panels)->n(), kCols);
  EXPECT_EQ((*panels)->At(3, 5), 305);
  EXPECT_EQ(*tensor->GetPanels(false), *panels) << "packed once";
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored));
}

TEST(CpuTensorTest, PacksTheOtherOrientationWhenAskedAndKeepsIt) {
  WeightBudget budget(Bytes(1 << 20));
  const auto tensor = Created(budget);
  const auto panels = tensor->GetPanels(true);
  ASSERT_TRUE(panels.ok());
  EXPECT_EQ((*panels)->k(), kCols);
  EXPECT_EQ((*panels)->n(), kRows);
  EXPECT_EQ((*panels)->At(5, 3), 305);
  EXPECT_EQ(*tensor->GetPanels(true), *panels);
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored + kTransposed));
}

TEST(CpuTensorTest, GivesEverythingBack) {
  WeightBudget budget(Bytes(1 << 20));
  auto tensor = Created(budget);
  ASSERT_TRUE(tensor->GetPanels(true).ok());
  const auto panels = tensor->GetPanels(false);
  tensor = nullptr;
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(0));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
  EXPECT_EQ((*panels)->At(3, 5), 305) << "a wave may still be using them";
}

TEST(CpuTensorTest, PreparesTheLayoutsItsPredecessorWasUsedIn) {
  WeightBudget budget(Bytes(1 << 20));
  const auto first = Created(budget);
  ASSERT_TRUE(first->GetPanels(true).ok());
  const int64_t before = budget.reserved(Kind::kLayout).value();
  const auto second = Created(budget, first.get());
  EXPECT_EQ(budget.reserved(Kind::kLayout).value() - before, kAsStored + kTransposed) << "both, before any wave asks";
}

TEST(CpuTensorTest, OtherThanMatricesAreKeptAsBytes) {
  WeightBudget budget(Bytes(1 << 20));
  const auto tensor = CpuTensor::Create({"b", {kernels::DType::kF16, {3}}, WeightBuffer("123456")}, budget);
  ASSERT_TRUE(tensor.ok());
  EXPECT_TRUE((*tensor)->Prepare(nullptr).ok());
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(6));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
}

TEST(CpuTensorTest, OpaqueMatricesAreNotPacked) {
  WeightBudget budget(Bytes(1 << 20));
  const auto tensor =
      CpuTensor::Create({"q", {*ElementType::FromWire(ElementType::kI8), {2, 3}}, WeightBuffer("123456")}, budget);
  ASSERT_TRUE(tensor.ok());
  EXPECT_TRUE((*tensor)->Prepare(nullptr).ok());
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(6));
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
}

TEST(CpuTensorTest, WhatDoesNotFitIsRefusedAndKeepsNothing) {
  // One byte short of the content, and of content and panels.
  for (const int64_t limit : {kContent - 1, kContent + kAsStored - 1}) {
    WeightBudget budget{Bytes(limit)};
    absl::Status refused;
    {
      const auto tensor = CpuTensor::Create(Matrix(), budget);
      refused = tensor.ok() ? (*tensor)->Prepare(nullptr) : tensor.status();
      EXPECT_EQ(tensor.ok(), limit >= kContent);
      EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
    }
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(GetReason(refused), "WEIGHT_MEMORY");
    EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(0));
    EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
  }
}

TEST(CpuTensorTest, SaysWhatItsPanelsWillTake) {
  WeightBudget budget(Bytes(1 << 20));
  const TensorType matrix{kernels::DType::kF32, {kRows, kCols}};
  EXPECT_EQ(CpuTensor::LayoutBytes(matrix, nullptr), Bytes(kAsStored));
  const auto first = Created(budget);
  EXPECT_EQ(CpuTensor::LayoutBytes(matrix, first.get()), Bytes(kAsStored));
  ASSERT_TRUE(first->GetPanels(true).ok());
  EXPECT_EQ(CpuTensor::LayoutBytes(matrix, first.get()), Bytes(kAsStored + kTransposed));
  EXPECT_EQ(CpuTensor::LayoutBytes({kernels::DType::kF32, {3}}, nullptr), Bytes(0));
  EXPECT_EQ(CpuTensor::LayoutBytes({*ElementType::FromWire(ElementType::kI8), {2, 3}}, nullptr), Bytes(0));
  const int64_t huge = int64_t{1} << 30;
  EXPECT_EQ(CpuTensor::LayoutBytes({kernels::DType::kF32, {huge, huge}}, first.get()),
            Bytes(std::numeric_limits<int64_t>::max()));
}

TEST(CpuTensorTest, PanelsTakeTheRoomThatWasReservedForThem) {
  WeightBudget budget{Bytes(kContent + kAsStored)};
  auto tensor = CpuTensor::Create(Matrix(), budget);
  ASSERT_TRUE(tensor.ok());
  auto room = budget.Reserve(Bytes(kAsStored), Kind::kLayout);
  ASSERT_TRUE(room.ok());
  const absl::Status prepared = (*tensor)->Prepare(nullptr, *std::move(room));
  EXPECT_TRUE(prepared.ok()) << prepared << ": there is no other room";
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored));
  *tensor = nullptr;
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(0));
}

TEST(CpuTensorTest, WhatIsNotNeededOfTheRoomIsGivenBack) {
  WeightBudget budget(Bytes(1 << 20));
  auto tensor = CpuTensor::Create(Matrix(), budget);
  ASSERT_TRUE((*tensor)->Prepare(nullptr, *budget.Reserve(Bytes(kAsStored + 100), Kind::kLayout)).ok());
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored));
}

// A tensor of 4 TiB, of which only the first bytes are there: whoever read it to pack it would crash.
TEST(CpuTensorTest, RefusesBeforeItPacks) {
  constexpr int64_t kSide = int64_t{1} << 20;
  const TensorType type{kernels::DType::kF32, {kSide, kSide}};
  WeightBudget budget{type.bytes()};
  const auto tensor = CpuTensor::Create({"w", type, WeightBuffer("1234")}, budget);
  ASSERT_TRUE(tensor.ok());
  EXPECT_EQ(GetReason((*tensor)->Prepare(nullptr)), "WEIGHT_MEMORY");
}

TEST(CpuTensorTest, ALayoutWithoutRoomDoesNotTakeThatOfAnother) {
  WeightBudget budget{Bytes(2 * kContent + 2 * kAsStored + kTransposed)};
  const auto first = Created(budget);
  ASSERT_TRUE(first->GetPanels(true).ok());
  const auto second = CpuTensor::Create(Matrix(), budget);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(GetReason((*second)->Prepare(first.get(), *budget.Reserve(Bytes(kAsStored), Kind::kLayout))),
            "WEIGHT_MEMORY");
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(2 * kAsStored + kTransposed)) << "the promised one has been made";
}

TEST(CpuTensorTest, BytesThatAreChargedAlreadyAreNotChargedAgain) {
  WeightBudget budget{Bytes(kContent)};
  HostTensor matrix = Matrix();
  auto reservation = budget.Reserve(Bytes(kContent), Kind::kContent);
  ASSERT_TRUE(reservation.ok());
  matrix.data.Charge(*std::move(reservation));
  const WeightBuffer shared = matrix.data;
  auto tensor = CpuTensor::Create(std::move(matrix), budget);
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  *tensor = nullptr;
  EXPECT_EQ(budget.reserved(Kind::kContent), Bytes(kContent)) << "as long as anybody has the bytes";
}

TEST(CpuTensorTest, ReadsAnyPartOfItsContent) {
  WeightBudget budget(Bytes(1 << 20));
  const auto tensor = Created(budget);
  const std::string content(Matrix().data.view());
  std::string all(kContent, 'x');
  ASSERT_TRUE(tensor->Read(0, kContent, all.data()).ok());
  EXPECT_EQ(all, content);
  std::string part(7, 'x');
  ASSERT_TRUE(tensor->Read(kContent - 8, 6, part.data()).ok());
  EXPECT_EQ(part, content.substr(kContent - 8, 6) + "x") << "not a byte more";
}

TEST(CpuTensorTest, AnUnforeseenLayoutBeyondTheBudgetIsPackedButNotKept) {
  WeightBudget budget{Bytes(kContent + kAsStored)};
  const auto tensor = Created(budget);
  const auto panels = tensor->GetPanels(true);
  ASSERT_TRUE(panels.ok()) << "a wave does not fail for it";
  EXPECT_EQ((*panels)->At(5, 3), 305);
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored));
  EXPECT_NE(*tensor->GetPanels(true), *panels);
}

TEST(CpuTensorTest, SeveralWavesMayAskAtOnce) {
  WeightBudget budget(Bytes(1 << 20));
  const auto tensor = Created(budget);
  std::vector<std::thread> waves;
  for (int i = 0; i < 4; ++i) {
    waves.emplace_back([&, transposed = i % 2 == 0] {
      const auto panels = tensor->GetPanels(transposed);
      ASSERT_TRUE(panels.ok());
      EXPECT_EQ(transposed ? (*panels)->At(5, 3) : (*panels)->At(3, 5), 305);
    });
  }
  for (std::thread& wave : waves) wave.join();
  EXPECT_EQ(budget.reserved(Kind::kLayout), Bytes(kAsStored + kTransposed)) << "charged once each";
}

}  // namespace
}  // namespace bwrt::runtime
