#include "client/bench_comparison.h"

#include <gtest/gtest.h>

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace bwrt::client {
namespace {

const BenchSpec kSpec = {.m = 128, .n = 128, .k = 128, .bm = 64, .bn = 64, .bk = 32, .dtype = F32};

BenchCase Case(const std::string& name, int64_t in_flight, double rate) {
  return {.name = name,
          .spec = kSpec,
          .in_flight = in_flight,
          .waves = 100,
          .seconds = 1,
          .waves_per_second = rate,
          .rounds = {{.waves = 50, .seconds = 50 / (rate * 0.9)}, {.waves = 50, .seconds = 50 / (rate * 1.2)}}};
}

NamedArtifact Artifact(const std::string& name, std::vector<BenchCase> cases) {
  NamedArtifact named{.name = name};
  named.artifact.machine = {.cpu = "CPU", .cores = 2, .memory_bytes = 1, .kernel = "6"};
  named.artifact.cases = std::move(cases);
  return named;
}

TEST(BenchComparison, PairsCasesInTheOrderOfTheirNames) {
  const auto comparison = Compare({Artifact("A", {Case("x", 8, 100), Case("y", 1, 10), Case("x", 1, 50)}),
                                   Artifact("B", {Case("x", 1, 100), Case("x", 8, 50), Case("z", 1, 1)})});
  ASSERT_TRUE(comparison.ok()) << comparison.status();
  std::vector<std::string> order;
  for (const ComparedCase& compared : comparison->cases) {
    order.push_back(absl::StrCat(compared.name, compared.in_flight));
  }
  EXPECT_EQ(order, (std::vector<std::string>{"x1", "x8", "y1", "z1"}));
  EXPECT_EQ(comparison->CaseNames(), (std::vector<std::string>{"x", "y", "z"}));
  EXPECT_EQ(comparison->cases[0].Speedup(1), 2.0);
  EXPECT_EQ(comparison->cases[1].Speedup(1), 0.5);
  EXPECT_EQ(comparison->cases[1].Speedup(0), 1.0);
  EXPECT_EQ(comparison->cases[2].Speedup(1), std::nullopt);
  EXPECT_EQ(comparison->cases[3].Speedup(1), std::nullopt);
  EXPECT_DOUBLE_EQ(*comparison->GeomeanSpeedup(1), 1.0);
  EXPECT_TRUE(comparison->notes.empty());
  EXPECT_EQ(comparison->machine, "CPU, 2 cores");
}

TEST(BenchComparison, SaysWhatMakesItUnfair) {
  NamedArtifact other = Artifact("B", {Case("x", 1, 100)});
  other.artifact.machine.cpu = "Other";
  other.artifact.sync_every = 0;
  other.artifact.warmup_waves = 7;
  other.artifact.build.mode = "dbg";
  other.artifact.libraries["grpc"] = "2";
  other.artifact.flags["unary"] = "true";
  NamedArtifact first = Artifact("A", {Case("x", 1, 50)});
  first.artifact.libraries["grpc"] = "1";
  const auto comparison = Compare({first, other});
  ASSERT_TRUE(comparison.ok());
  EXPECT_EQ(comparison->machine, "");
  ASSERT_EQ(comparison->notes.size(), 6u);
  EXPECT_TRUE(absl::StrContains(comparison->notes[0], "another machine than A: Other, 2 cores, not CPU, 2 cores"));
  EXPECT_EQ(comparison->notes[1], "B differs from A in sync_every: 0, not 64");
  EXPECT_EQ(comparison->notes[4], "B differs from A in libraries: grpc");
  EXPECT_EQ(comparison->notes[5], "B differs from A in flags: unary");
  other = first;
  other.name = "B";
  other.artifact.cases[0].refused = 7;
  const auto refused = Compare({first, other});
  ASSERT_TRUE(refused.ok());
  ASSERT_EQ(refused->notes.size(), 1u);
  EXPECT_TRUE(absl::StrContains(refused->notes[0], "B: the daemon refused 7 waves"));
}

TEST(BenchComparison, RefusesWhatCannotBeCompared) {
  BenchCase wider = Case("x", 1, 1);
  wider.spec.n = 256;
  absl::Status status = Compare({Artifact("A", {Case("x", 1, 1)}), Artifact("B", {wider})}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "n=128")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "n=256")) << status;
  status = Compare({Artifact("A", {Case("x", 1, 1)}), Artifact("B", {Case("x", 2, 1)})}).status();
  EXPECT_TRUE(absl::StrContains(status.message(), "B shares no case with A")) << status;
  EXPECT_FALSE(Compare({}).ok());
  EXPECT_FALSE(Compare(std::vector<NamedArtifact>(13, Artifact("A", {Case("x", 1, 1)}))).ok());
}

TEST(BenchComparison, ScalingHasAPanelForEachCaseAndALineForEachArtifact) {
  const auto comparison = Compare(
      {Artifact("A", {Case("x", 8, 100), Case("x", 1, 50), Case("y", 1, 10)}), Artifact("B", {Case("x", 1, 100)})});
  ASSERT_TRUE(comparison.ok());
  const Plot plot = ScalingPlot(*comparison);
  ASSERT_EQ(plot.panels.size(), 2u);
  const auto& x = std::get<LinePanel>(plot.panels[0]);
  EXPECT_EQ(x.title, "x");
  EXPECT_TRUE(x.log2_x);
  ASSERT_EQ(x.lines.size(), 2u);
  EXPECT_EQ(x.lines[0].name, "A");
  ASSERT_EQ(x.lines[0].points.size(), 2u);
  EXPECT_EQ(x.lines[0].points[0].x, 1);
  EXPECT_EQ(x.lines[0].points[1].x, 8);
  EXPECT_EQ(x.lines[0].points[1].y.value, 100);
  // The slowest and the fastest round.
  EXPECT_DOUBLE_EQ(*x.lines[0].points[1].y.low, 90);
  EXPECT_DOUBLE_EQ(*x.lines[0].points[1].y.high, 120);
  EXPECT_EQ(x.lines[1].points[0].y.value, 100);
  EXPECT_EQ(std::get<LinePanel>(plot.panels[1]).lines.size(), 1u);
}

TEST(BenchComparison, CasesOfOneArtifactShareAPanelWhereTheyAreAlike) {
  const auto alike = Compare({Artifact("A", {Case("x", 1, 50), Case("y", 1, 100)})});
  const Plot one = ScalingPlot(*alike);
  ASSERT_EQ(one.panels.size(), 1u);
  EXPECT_EQ(std::get<LinePanel>(one.panels[0]).lines[1].name, "y");
  EXPECT_FALSE(SpeedupPlot(*alike).has_value());
  // A line at the bottom of the other's axis would say nothing.
  EXPECT_EQ(ScalingPlot(*Compare({Artifact("A", {Case("x", 1, 50), Case("y", 1, 1000)})})).panels.size(), 2u);
}

TEST(BenchComparison, SpeedupHasBarsOfTheLaterOnes) {
  const auto comparison =
      Compare({Artifact("A", {Case("x", 1, 50), Case("x", 8, 100), Case("y", 1, 10)}),
               Artifact("B", {Case("x", 1, 100), Case("z", 1, 7)}), Artifact("C", {Case("x", 8, 150)})});
  ASSERT_TRUE(comparison.ok());
  const auto plot = SpeedupPlot(*comparison);
  ASSERT_TRUE(plot.has_value());
  EXPECT_TRUE(absl::StrContains(plot->title, "B 2.00x, C 1.50x")) << plot->title;
  ASSERT_EQ(plot->panels.size(), 1u);  // Only x is shared with A.
  const auto& x = std::get<BarPanel>(plot->panels[0]);
  EXPECT_EQ(x.categories, (std::vector<std::string>{"1", "8"}));
  ASSERT_EQ(x.bars.size(), 2u);
  EXPECT_EQ(x.bars[0].name, "B");
  EXPECT_EQ(x.bars[0].values[0]->value, 2);
  EXPECT_FALSE(x.bars[0].values[1].has_value());
  EXPECT_EQ(x.bars[1].values[1]->value, 1.5);
  EXPECT_EQ(x.baseline, 1.0);
}

TEST(BenchComparison, PicturesAreBounded) {
  std::vector<BenchCase> cases;
  for (int name = 0; name < 15; ++name) {
    for (int i = 1; i <= 30; ++i) cases.push_back(Case(absl::StrCat("case ", name), i, std::pow(10, name)));
  }
  const auto comparison = Compare({Artifact("A", cases), Artifact("B", cases)});
  ASSERT_TRUE(comparison.ok());
  EXPECT_EQ(ScalingPlot(*comparison).panels.size(), 9u);
  const auto speedup = SpeedupPlot(*comparison);
  ASSERT_EQ(speedup->panels.size(), 9u);
  EXPECT_EQ(std::get<BarPanel>(speedup->panels[0]).categories.size(), 24u);
}

}  // namespace
}  // namespace bwrt::client
