#include "client/traversal_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/gpu_l2.h"
#include "client/plot_script.h"

namespace bwrt::client {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Answered {
  v1::TraversalKind kind;
  uint32_t group;
  uint64_t memory_bytes;
};

// Of a wave of 8 tile rows that reads 1000 bytes, 100 of them distinct.
TraversalReport Report(const std::vector<Answered>& traversals, WaveSpec spec = {}) {
  v1::ModelTraversalsRequest request;
  request.mutable_wave()->set_m(1000);
  *request.mutable_wave()->mutable_spec() = std::move(spec);
  request.mutable_wave()->mutable_spec()->set_bm(128);
  v1::ModelTraversalsResponse response;
  response.set_tiles(2);
  response.set_read_bytes(1000);
  response.set_distinct_bytes(100);
  for (const Answered& answered : traversals) {
    v1::ModelledTraversal* modelled = response.add_traversals();
    modelled->mutable_traversal()->set_kind(answered.kind);
    modelled->mutable_traversal()->set_group_size(answered.group);
    modelled->set_memory_bytes(answered.memory_bytes);
    modelled->set_l2_hit_ratio(1 - static_cast<double>(answered.memory_bytes) / 1000);
  }
  return ReportTraversals(request, response);
}

std::vector<std::string> Names(const TraversalReport& report) {
  std::vector<std::string> names;
  for (const ReportedTraversal& traversal : report.traversals) names.push_back(traversal.name);
  return names;
}

TEST(TraversalReport, NamesTraversals) {
  EXPECT_THAT(
      Names(Report(
          {{v1::GIVEN, 0, 1}, {v1::ROW_MAJOR, 0, 1}, {v1::ROW_SNAKE, 0, 1}, {v1::GROUPED, 4, 1}, {v1::GROUPED, 8, 1}})),
      ElementsAre("given (row-major)", "row-major", "row snake", "groups of 4", "groups of 8 (column-major)"));
  WaveSpec spec;
  spec.set_swizzle_group_size(4);
  EXPECT_THAT(Names(Report({{v1::GIVEN, 0, 1}}, spec)), ElementsAre("given (groups of 4)"));
  spec.add_tile_order_flat(0);
  EXPECT_THAT(Names(Report({{v1::GIVEN, 0, 1}}, spec)), ElementsAre("given (1 of 2 tiles listed)"));
  spec.add_tile_order();
  spec.add_tile_order();
  EXPECT_THAT(Names(Report({{v1::GIVEN, 0, 1}}, spec)), ElementsAre("given (all tiles listed)"));
}

TEST(TraversalReport, FindsTheBestAndWhatTheSwizzleWouldDo) {
  const TraversalReport report = Report({{v1::GIVEN, 0, 500},
                                         {v1::ROW_MAJOR, 0, 600},
                                         {v1::ROW_SNAKE, 0, 200},
                                         {v1::GROUPED, 2, 250},
                                         {v1::GROUPED, 4, 250}});
  EXPECT_EQ(report.best, 2u);
  EXPECT_EQ(report.given, 0u);
  EXPECT_EQ(report.best_swizzle, 3u);
  EXPECT_DOUBLE_EQ(report.traversals[0].relative, 2.5);
  EXPECT_DOUBLE_EQ(report.traversals[2].relative, 1);
  EXPECT_THAT(Advice(report),
              ElementsAre("best: row snake: 80.0 % of operand bytes hit, 200 B from memory; each operand once would be "
                          "100 B",
                          "given: reads 2.50 times the bytes of the best",
                          "swizzle: swizzle_group_size=2 without tile_order would read 250 B, 50.0 % less than the "
                          "given order"));
}

TEST(TraversalReport, OfEqualsTheGivenOneIsTheBest) {
  for (const bool given_first : {true, false}) {
    std::vector<Answered> traversals = {{v1::ROW_MAJOR, 0, 300}, {v1::ROW_SNAKE, 0, 300}};
    traversals.insert(given_first ? traversals.begin() : traversals.end(), {v1::GIVEN, 0, 300});
    const TraversalReport report = Report(traversals);
    EXPECT_EQ(report.best, given_first ? 0u : 2u);
    EXPECT_THAT(Advice(report), ElementsAre(HasSubstr("best: given"), "given: as good as the best",
                                            HasSubstr("no swizzle_group_size")));
  }
  EXPECT_EQ(Report({{v1::ROW_MAJOR, 0, 300}, {v1::ROW_SNAKE, 0, 300}}).best, 0u);
}

TEST(TraversalReport, RowMajorIsSwizzleZero) {
  const TraversalReport report = Report({{v1::GIVEN, 0, 500}, {v1::ROW_MAJOR, 0, 400}, {v1::GROUPED, 2, 450}});
  EXPECT_THAT(Advice(report)[2], HasSubstr("swizzle_group_size=0 without tile_order would read 400 B, 20.0 % less"));
}

TEST(TraversalReport, WithoutAGivenOneThereIsOnlyTheBest) {
  EXPECT_EQ(Advice(Report({{v1::ROW_MAJOR, 0, 400}})).size(), 1u);
}

// Nothing read is no division by zero.
TEST(TraversalReport, ReadsNothingFromMemory) {
  const TraversalReport report = Report({{v1::GIVEN, 0, 0}, {v1::ROW_MAJOR, 0, 0}});
  EXPECT_EQ(report.traversals[1].relative, 1);
  EXPECT_EQ(Advice(report).size(), 3u);
}

TEST(TraversalReport, ThePictureMarksTheGivenAndTheBest) {
  const TraversalReport report = Report({{v1::GIVEN, 0, 500},
                                         {v1::ROW_MAJOR, 0, 600},
                                         {v1::ROW_SNAKE, 0, 200},
                                         {v1::GROUPED, 2, 300},
                                         {v1::GROUPED, 8, 400}});
  const Plot plot = TraversalPlot(report, "title");
  ASSERT_EQ(plot.panels.size(), 2u);
  const auto& hits = std::get<BarPanel>(plot.panels[0]);
  EXPECT_EQ(hits.categories,
            (std::vector<std::string>{"given", "row-major", "row snake", "groups of 2", "column-major"}));
  ASSERT_EQ(hits.bars.size(), 3u);
  EXPECT_EQ(hits.bars[0].name, "others");
  EXPECT_DOUBLE_EQ(hits.bars[0].values[1]->value, 40);
  EXPECT_EQ(hits.bars[1].name, "given");
  EXPECT_DOUBLE_EQ(hits.bars[1].values[0]->value, 50);
  EXPECT_EQ(hits.bars[2].name, "best");
  EXPECT_DOUBLE_EQ(hits.bars[2].values[2]->value, 80);
  EXPECT_DOUBLE_EQ(*hits.baseline, 90);
  EXPECT_DOUBLE_EQ(*std::get<BarPanel>(plot.panels[1]).baseline, 100.0 / (1 << 20));
  EXPECT_TRUE(PlotScript(plot).ok());
  const Plot only = TraversalPlot(Report({{v1::GIVEN, 0, 500}, {v1::ROW_MAJOR, 0, 600}}), "title");
  EXPECT_EQ(std::get<BarPanel>(only.panels[0]).bars[1].name, "given, and best");
  // More than fit are cut.
  EXPECT_TRUE(PlotScript(TraversalPlot(Report(std::vector<Answered>(64, {v1::GROUPED, 2, 300})), "t")).ok());
}

TEST(GpuL2, KnowsGpusByName) {
  ASSERT_TRUE(FindGpuL2("H100").has_value());
  EXPECT_EQ(FindGpuL2("h100")->multiprocessors, 132u);
  EXPECT_EQ(FindGpuL2("a100")->l2_bytes, int64_t{40} << 20);
  EXPECT_FALSE(FindGpuL2("").has_value());
  EXPECT_FALSE(FindGpuL2("h1000").has_value());
  EXPECT_THAT(GpuL2Names(), HasSubstr("a100, b200, h100, h100-pcie, h200"));
}

}  // namespace
}  // namespace bwrt::client
