// Pictures by the real gnuplot. What they look like is for eyes; here they exist, have a size, and differ.
#include "client/plot.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "client/file.h"

namespace bwrt::client {
namespace {

class PlotTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + testing::UnitTest::GetInstance()->current_test_info()->name() + ".png";
    std::filesystem::remove(path_);
  }

  // Big-endian, where the PNG format has it.
  struct Size {
    int width, height;
  };
  Size Draw(const Plot& plot) {
    const absl::Status status = WritePlot(plot, path_);
    EXPECT_TRUE(status.ok()) << status;
    png_ = ReadFile(path_).value_or("");
    EXPECT_TRUE(absl::StartsWith(png_, "\x89PNG\r\n\x1a\n"));
    if (png_.size() < 24) return {};
    const auto number = [this](size_t at) {
      int value = 0;
      for (size_t i = at; i < at + 4; ++i) value = value * 256 + static_cast<unsigned char>(png_[i]);
      return value;
    };
    return {number(16), number(20)};
  }

  std::string path_;
  std::string png_;
};

LinePanel Lines(double second) {
  return {.title = "lines",
          .x_label = "x",
          .y_label = "y",
          .log2_x = true,
          .lines = {{.name = "it's a line",
                     .points = {{1, {.value = 1}}, {8, {.value = second, .low = 1, .high = 9}}, {64, {.value = 3}}}}}};
}

BarPanel Bars() {
  return {.title = "bars",
          .categories = {"a", "b"},
          .bars = {{.name = "p", .values = {PlotValue{.value = 1}, PlotValue{.value = 2, .low = 1, .high = 3}}},
                   {.name = "q", .values = {std::nullopt, PlotValue{.value = 0}}}},
          .baseline = 1,
          .baseline_name = "one"};
}

TEST_F(PlotTest, DrawsBothKindsOfPanels) {
  const Size size = Draw({.title = "title", .panels = {Lines(2), Bars()}});
  EXPECT_EQ(size.width, 2 * 640);
  EXPECT_GT(size.height, 450);
}

TEST_F(PlotTest, ShowsTheValues) {
  Draw({.title = "title", .panels = {Lines(2)}});
  const std::string first = png_;
  Draw({.title = "title", .panels = {Lines(2)}});
  EXPECT_EQ(png_, first);
  Draw({.title = "title", .panels = {Lines(5)}});
  EXPECT_NE(png_, first);
}

TEST_F(PlotTest, DrawsASinglePointAndTexts) {
  LinePanel panel = Lines(2);
  panel.lines[0].points.resize(1);
  panel.lines[0].name = "`touch " + path_ + ".x` $(touch " + path_ + ".x) \"; system('touch " + path_ + ".x')";
  panel.title = std::string("\xff\n\0plot", 7);
  Draw({.title = "@x {/Bold y}_2", .panels = {panel}});
  EXPECT_FALSE(std::filesystem::exists(path_ + ".x"));
}

TEST_F(PlotTest, DrawsNinePanelsOfTheMostThatIsAllowed) {
  BarPanel panel{.title = "full", .categories = std::vector<std::string>(24, "category")};
  for (int i = 0; i < 12; ++i) {
    panel.bars.push_back({.name = "series " + std::to_string(i),
                          .values = std::vector<std::optional<PlotValue>>(24, PlotValue{.value = 1.0 + i})});
  }
  const Size size = Draw({.panels = std::vector<std::variant<LinePanel, BarPanel>>(9, panel)});
  EXPECT_EQ(size.width, 3 * 640);
}

TEST_F(PlotTest, LeavesNoFileWhereThereIsNothingToDraw) {
  EXPECT_EQ(WritePlot({}, path_).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(path_));
  const absl::Status status = WritePlot({.panels = {Bars()}}, path_ + "/none/x.png");
  EXPECT_TRUE(absl::StrContains(status.message(), path_)) << status;
}

}  // namespace
}  // namespace bwrt::client
