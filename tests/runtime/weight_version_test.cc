#include "runtime/weight_version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/blank_version.h"

namespace bwrt::runtime {
namespace {

using ::testing::ElementsAre;

using TensorPtr = std::shared_ptr<const DeviceTensor>;

// A tensor of `bytes` bytes, a multiple of 4.
TensorPtr Tensor(int64_t bytes) { return std::make_shared<BlankTensor>(TensorType{kernels::DType::kF32, {bytes / 4}}); }

std::vector<std::string> Names(const WeightVersion& version) {
  std::vector<std::string> names;
  for (const auto& t : version.tensors()) names.push_back(t->name);
  return names;
}

TEST(WeightVersionTest, EmptyIsVersionZero) {
  const auto empty = WeightVersion::Empty();
  EXPECT_EQ(empty->number(), Version(0));
  EXPECT_EQ(empty->label(), "");
  EXPECT_EQ(empty->bytes(), Bytes(0));
  EXPECT_TRUE(empty->tensors().empty());
  EXPECT_EQ(empty->Find("w"), nullptr);
}

TEST(WeightVersionTest, WithAddsAndSortsByName) {
  const auto v1 =
      BlankVersion(*WeightVersion::Empty(), "first", {{"b", Tensor(8)}, {"a", Tensor(4)}, {"c/d", Tensor(16)}});
  EXPECT_EQ(v1->number(), Version(1));
  EXPECT_EQ(v1->label(), "first");
  EXPECT_EQ(v1->bytes(), Bytes(28));
  EXPECT_THAT(Names(*v1), ElementsAre("a", "b", "c/d"));
  for (const auto& t : v1->tensors()) EXPECT_EQ(t->version, Version(1));
}

TEST(WeightVersionTest, WithReplacesAndSharesTheRest) {
  const TensorPtr a = Tensor(4), b1 = Tensor(8), b2 = Tensor(12), c = Tensor(16);
  const auto v1 = BlankVersion(*WeightVersion::Empty(), "1", {{"a", a}, {"b", b1}});
  const auto v2 = BlankVersion(*v1, "2", {{"c", c}, {"b", b2}});

  EXPECT_THAT(Names(*v2), ElementsAre("a", "b", "c"));
  EXPECT_EQ(v2->number(), Version(2));
  EXPECT_EQ(v2->bytes(), Bytes(32));
  EXPECT_EQ(v2->Find("a"), v1->Find("a")) << "the unchanged entry is shared, not copied";
  EXPECT_EQ(v2->Find("a")->version, Version(1));
  EXPECT_EQ(v2->Find("b")->tensor, b2);
  EXPECT_EQ(v2->Find("b")->version, Version(2));
  // The base did not change.
  EXPECT_EQ(v1->Find("b")->tensor, b1);
  EXPECT_EQ(v1->Find("c"), nullptr);
  EXPECT_EQ(v1->bytes(), Bytes(12));
}

TEST(WeightVersionTest, FindIsExact) {
  const auto v =
      BlankVersion(*WeightVersion::Empty(), "", {{"layer.1", Tensor(4)}, {"layer.10", Tensor(4)}, {"m", Tensor(4)}});
  EXPECT_EQ(v->Find("layer.1")->name, "layer.1");
  EXPECT_EQ(v->Find("layer.10")->name, "layer.10");
  for (const char* name : {"", "layer", "layer.", "layer.11", "layer.1 ", "M", "z"}) {
    EXPECT_EQ(v->Find(name), nullptr) << name;
  }
}

TEST(WeightVersionTest, BytesNotInCountsWhatIsNotShared) {
  const auto v1 = BlankVersion(*WeightVersion::Empty(), "1", {{"a", Tensor(4)}, {"b", Tensor(8)}});
  const auto v2 = BlankVersion(*v1, "2", {{"b", Tensor(16)}, {"c", Tensor(32)}});
  EXPECT_EQ(v1->BytesNotIn(*v2), Bytes(8)) << "the replaced b";
  EXPECT_EQ(v2->BytesNotIn(*v1), Bytes(48));
  EXPECT_EQ(v1->BytesNotIn(*v1), Bytes(0));
  EXPECT_EQ(v1->BytesNotIn(*WeightVersion::Empty()), Bytes(12));
}

TEST(WeightVersionTest, TensorsLiveAsLongAsAnyVersionHasThem) {
  auto a = Tensor(4), b = Tensor(4);
  const std::weak_ptr<const DeviceTensor> weak_a = a, weak_b = b;
  auto v1 = BlankVersion(*WeightVersion::Empty(), "1", {{"a", std::move(a)}, {"b", std::move(b)}});
  const auto v2 = BlankVersion(*v1, "2", {{"b", Tensor(4)}});
  v1 = nullptr;
  EXPECT_FALSE(weak_a.expired());
  EXPECT_TRUE(weak_b.expired());
}

TEST(WeightVersionTest, BytesDependOnTheType) {
  const auto bf16 = std::make_shared<BlankTensor>(TensorType{kernels::DType::kBF16, {3, 5}});
  EXPECT_EQ(BlankVersion(*WeightVersion::Empty(), "", {{"w", bf16}})->bytes(), Bytes(30));
}

}  // namespace
}  // namespace bwrt::runtime
