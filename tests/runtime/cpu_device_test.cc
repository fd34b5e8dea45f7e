#include "runtime/cpu_device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/runtime/cpu_device_fixture.h"
#include "tests/support/blank_version.h"

namespace bwrt::runtime {
namespace {

using kernels::DType;

// --------------------------------------------------------------------------------------------- whole waves

TEST_F(CpuDeviceTest, ComputesEveryPairOfTypes) {
  for (const auto& [in, out] : {std::pair(DType::kF32, DType::kF32), std::pair(DType::kBF16, DType::kF32),
                                std::pair(DType::kBF16, DType::kBF16), std::pair(DType::kF16, DType::kF32),
                                std::pair(DType::kF16, DType::kF16), std::pair(DType::kF8E4M3, DType::kF32),
                                std::pair(DType::kF8E4M3, DType::kBF16), std::pair(DType::kF8E5M2, DType::kF16)}) {
    SCOPED_TRACE(absl::StrCat(kernels::Name(in), " -> ", kernels::Name(out)));
    CpuWaveCase wave;
    wave.dtype = in;
    wave.c_dtype = out;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, ComputesF8WithItsScales) {
  for (const DType in : {DType::kF8E4M3, DType::kF8E5M2}) {
    for (const DType out : {DType::kF32, DType::kF16, DType::kBF16}) {
      SCOPED_TRACE(absl::StrCat(kernels::Name(in), " -> ", kernels::Name(out)));
      CpuWaveCase wave;
      wave.dtype = in;
      wave.c_dtype = out;
      wave.a_gap = 5;
      wave.alpha = 0.5f;
      wave.beta = 2;
      wave.transposed = out == DType::kF16;
      wave.Draw();
      const WaveRequestBuilder request = wave.Request().Edit([](WaveRequest& r) {
        r.a_scale = 3;
        r.w_scale = 0.25f;
      });
      const std::string result = Run(Validated(request));
      wave.alpha = 0.5f * 3 * 0.25f;  // What the reference is to multiply with.
      ExpectRight(wave, result);
    }
  }
}

TEST_F(CpuDeviceTest, AnF8LayoutIsMadeWhenAWaveWantsIt) {
  const TensorType type{DType::kF8E4M3, {128, 128}};
  EXPECT_EQ(device_->LayoutBytes(type, nullptr), Bytes(0));
  CpuWaveCase wave;
  wave.dtype = DType::kF8E4M3;
  wave.Draw();
  const auto w = Uploaded(wave.w);
  const Bytes before = budget_.reserved(WeightBudget::Kind::kLayout);
  const auto version = BlankVersion(*WeightVersion::Empty(), "", {{"w", w}});
  const Wave stored = Validated(wave.Request().WTensor("w").Edit([](WaveRequest& r) { r.w.row_stride = 0; }), *version);
  ExpectRight(wave, Run(stored, w.get()));
  EXPECT_GT(budget_.reserved(WeightBudget::Kind::kLayout), before);
  EXPECT_GT(device_->LayoutBytes({DType::kF8E4M3, {64, 80}}, w.get()), Bytes(0)) << "as its predecessor's waves wanted";
}

TEST_F(CpuDeviceTest, ComputesStridedOperandsAndKeepsTheGapsOfC) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    CpuWaveCase wave;
    wave.dtype = wave.c_dtype = dtype;
    wave.a_gap = 3;
    wave.w_gap = 5;
    wave.c_gap = 7;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, ComputesWithATransposedInlineW) {
  CpuWaveCase wave;
  wave.transposed = true;
  wave.w_gap = 4;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, ComputesWithAStoredW) {
  for (const bool transposed : {false, true}) {
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3, DType::kF8E5M2}) {
      SCOPED_TRACE(absl::StrCat(kernels::Name(dtype), transposed ? " transposed" : ""));
      CpuWaveCase wave;
      wave.dtype = dtype;
      wave.transposed = transposed;
      wave.Draw();
      const auto w = Uploaded(wave.w);
      const auto version = BlankVersion(*WeightVersion::Empty(), "", {{"w", w}});
      const std::string result = Run(
          Validated(wave.Request().WTensor("w").Edit([](WaveRequest& r) { r.w.row_stride = 0; }), *version), w.get());
      ExpectRight(wave, result);
    }
  }
}

TEST_F(CpuDeviceTest, AppliesTheWholeEpilogue) {
  for (const ActivationWish activation : {ActivationWish::kIdentity, ActivationWish::kRelu, ActivationWish::kGeluTanh,
                                          ActivationWish::kGeluErf, ActivationWish::kSilu}) {
    SCOPED_TRACE(static_cast<int>(activation));
    CpuWaveCase wave;
    wave.alpha = 0.5f;
    wave.beta = -2;
    wave.with_bias = true;
    wave.activation = activation;
    wave.c_gap = 3;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, AlphaZeroLeavesTheEpilogueAlone) {
  CpuWaveCase wave;
  wave.alpha = 0;
  wave.beta = 1;
  wave.with_bias = true;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, BetaZeroDoesNotReadC) {
  CpuWaveCase wave;
  wave.Draw();  // C is NaN everywhere.
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, WithoutCItStartsAsZeros) {
  CpuWaveCase wave;
  wave.c_gap = 2;
  wave.Draw();
  const std::string result = Run(Validated(
      wave.Request().Edit([](WaveRequest& r) { r.c.source = OperandRequest::Source::kAbsent, r.c.bytes = {}; })));
  wave.c.bytes.assign(wave.c.bytes.size(), '\0');  // What the gaps must hold.
  ExpectRight(wave, result);
}

TEST_F(CpuDeviceTest, PadsPartialTiles) {
  for (const auto& [m, n, k] :
       {std::tuple(1, 1, 8), std::tuple(33, 31, 40), std::tuple(65, 97, 24), std::tuple(31, 64, 8)}) {
    SCOPED_TRACE(absl::StrCat(m, " x ", n, " x ", k));
    CpuWaveCase wave;
    wave.m = m;
    wave.n = n;
    wave.k = k;
    wave.Draw();
    ExpectRight(wave, Run(Validated(wave.Request())));
  }
}

TEST_F(CpuDeviceTest, TilesMayBeLargerThanC) {
  CpuWaveCase wave;
  wave.m = 20;
  wave.n = 10;
  wave.bm = wave.bn = 1 << 20;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

TEST_F(CpuDeviceTest, TheSmokeWave) {
  CpuWaveCase wave;
  wave.m = wave.n = wave.k = wave.bm = wave.bn = wave.bk = 2;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request().Window(0, 3))));
}

TEST_F(CpuDeviceTest, LongKIsSummedAccurately) {
  CpuWaveCase wave;
  wave.m = wave.n = 16;
  wave.k = 1544;  // Three chunks and a rest.
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request())));
}

// ------------------------------------------------------------------------------------------------ coverage

TEST_F(CpuDeviceTest, DropKeepsCWhereTilesArePartial) {
  CpuWaveCase wave;  // 4 x 3 tiles, the last row and column partial.
  wave.Draw();
  const Wave validated = Validated(wave.Request().Tails(TailPolicy::kDrop));
  EXPECT_EQ(validated.traversal.dropped, 6);
  const std::string result = Run(validated);
  for (int32_t i = 0; i < 4; ++i) {
    for (int32_t j = 0; j < 3; ++j) {
      const TileCoord tile{i, j};
      if (i == 3 || j == 2) {
        EXPECT_TRUE(wave.Untouched(result, tile)) << i << "," << j;
      } else {
        EXPECT_TRUE(wave.TileError(result, tile) <= wave.Tolerance()) << i << "," << j;
      }
    }
  }
}

TEST_F(CpuDeviceTest, PeelComputesEverything) {
  CpuWaveCase wave;
  wave.Draw();
  ExpectRight(wave, Run(Validated(wave.Request().Tails(TailPolicy::kPeel))));
}

TEST_F(CpuDeviceTest, PartialKeepsCWhereNothingIsListed) {
  CpuWaveCase wave;
  wave.Draw();
  const Order listed = {{3, 2}, {0, 1}, {1, 0}};
  const std::string result = Run(Validated(wave.Request().Order(listed).Covers(Coverage::kPartial)));
  for (int32_t i = 0; i < 4; ++i) {
    for (int32_t j = 0; j < 3; ++j) {
      const TileCoord tile{i, j};
      if (std::find(listed.begin(), listed.end(), tile) == listed.end()) {
        EXPECT_TRUE(wave.Untouched(result, tile)) << i << "," << j;
      } else {
        EXPECT_TRUE(wave.TileError(result, tile) <= wave.Tolerance()) << i << "," << j;
      }
    }
  }
}

TEST_F(CpuDeviceTest, TheTraversalDoesNotChangeTheResult) {
  CpuWaveCase wave;
  wave.Draw();
  const std::string row_major = Run(Validated(wave.Request()));
  const std::string swizzled =
      Run(Validated(wave.Request().Edit([](WaveRequest& r) { r.spec.swizzle_group_size = 2; })));
  const std::string listed = Run(Validated(wave.Request().Order({{3, 2}, {0, 0}, {2, 1}})));
  EXPECT_EQ(swizzled, row_major);
  EXPECT_EQ(listed, row_major);
}

// ------------------------------------------------------------------------------------------------- packing

// Rows 0..59 belong to request 1, 60..69 to 2, 70..99 to 3; packed as 3, 1, 2.
void PackRows(WaveRequest& r) {
  r.rows = {{1, 0, 60}, {2, 60, 70}, {3, 70, 100}};
  r.spec.pack_order = {3, 1};
}

TEST_F(CpuDeviceTest, PackedRowsComeBackInTheirOwnOrder) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    CpuWaveCase wave;
    wave.dtype = wave.c_dtype = dtype;
    wave.a_gap = 3;
    wave.c_gap = 5;
    wave.beta = 0.5f;
    wave.with_bias = true;
    wave.Draw();
    const Wave packed = Validated(wave.Request().Edit(PackRows));
    ASSERT_EQ(packed.packed_rows.size(), 100u);
    const std::string result = Run(packed);
    ExpectRight(wave, result);
    EXPECT_EQ(result, Run(Validated(wave.Request()))) << "packing does not change a bit";
  }
}

TEST_F(CpuDeviceTest, TileRowsCountPackedRows) {
  CpuWaveCase wave;
  wave.n = 32;
  wave.Draw();
  // Tile row 0 is packed rows 0..31: request 3's 30 rows, then request 1's first two.
  const std::string result = Run(Validated(wave.Request().Edit(PackRows).Order({{0, 0}}).Covers(Coverage::kPartial)));
  wave.bm = 1;  // From here on one row of C at a time.
  for (int32_t row = 0; row < 100; ++row) {
    EXPECT_EQ(wave.Written(result, {row, 0}), row >= 70 || row < 2) << "row " << row;
    EXPECT_EQ(wave.Untouched(result, {row, 0}), row < 70 && row >= 2) << "row " << row;
    if (row >= 70 || row < 2) {
      EXPECT_TRUE(wave.TileError(result, {row, 0}) <= wave.Tolerance()) << "row " << row;
    }
  }
}

TEST_F(CpuDeviceTest, DroppedTilesOfPackedRowsKeepC) {
  CpuWaveCase wave;
  wave.n = 32;  // Tile row 3, packed rows 96..99, is partial: request 2's last four, rows 66..69.
  wave.Draw();
  const std::string result = Run(Validated(wave.Request().Edit(PackRows).Tails(TailPolicy::kDrop)));
  wave.bm = 1;
  for (int32_t row = 0; row < 100; ++row) {
    EXPECT_EQ(wave.Untouched(result, {row, 0}), row >= 66 && row < 70) << "row " << row;
  }
}

}  // namespace
}  // namespace bwrt::runtime
